/** The account of a request that names none. */
export const DEFAULT_ACCOUNT = 'default';

export function accountOf(request: { readonly account: string }): string {
  return request.account === '' ? DEFAULT_ACCOUNT : request.account;
}
