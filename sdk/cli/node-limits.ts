import type { Node } from '../types.ts';

/** The limits that a node cannot enforce, and why. */
export function missingLimits({ inventory }: Node): readonly { readonly resource: string; readonly detail: string }[] {
  return (inventory?.limits ?? []).filter(({ state }) => state === 'UNAVAILABLE');
}
