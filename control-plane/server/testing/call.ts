import { CLIENT_CHANNEL_OPTIONS, fromServiceError, type StatusParts } from '@galley/proto';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';

export const TEST_TOKEN = 'a-token-for-tests-only';

export function connect(address: string): Client {
  return new Client(address, credentials.createInsecure(), CLIENT_CHANNEL_OPTIONS);
}

export function withToken(token: string = TEST_TOKEN): Metadata {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

/** What a call that must fail was answered. */
export async function failure(call: Promise<unknown> | AsyncIterable<unknown>): Promise<StatusParts> {
  try {
    if (call instanceof Promise) await call;
    else for await (const _ of call);
  } catch (error) {
    return fromServiceError(error as ServiceError);
  }
  throw new Error('the call succeeded');
}
