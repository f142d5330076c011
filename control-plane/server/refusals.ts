import type { StatusParts } from '@galley/proto';
import { status } from '@grpc/grpc-js';

/** What a caller without valid credentials is told, on every listener. */
export const UNAUTHENTICATED: StatusParts = {
  code: status.UNAUTHENTICATED,
  message:
    "the call carries no valid token: send `authorization: Bearer <token>` with the token of the control plane's data directory",
};
