import type { MethodDefinition } from '@grpc/grpc-js';

const same = (bytes: Buffer) => bytes;

/** Bytes there and back: no codec of ours on either side. */
export const ECHO: MethodDefinition<Buffer, Buffer> = {
  path: '/galley.bench.Echo/Echo',
  requestStream: false,
  responseStream: false,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};
