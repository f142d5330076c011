import { randomBytes } from 'node:crypto';
import { type StatusParts, toServiceError } from '@galley/proto';
import { type ServiceError, status } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { AgentPlaneError } from '../agents/errors.ts';
import { statusParts } from '../api/errors.ts';

/**
 * Maps what a handler threw to what the caller is told. Internals stay here: an error that nobody foresaw is logged whole
 * under an id, and the caller gets the id.
 */
export function errorStatus(error: unknown, method: string, log: Logger): StatusParts {
  if (error instanceof AgentPlaneError) return { code: error.code, message: error.message };
  const parts = statusParts(error);
  if (parts.code !== status.INTERNAL && parts.code !== status.DATA_LOSS) return parts;
  const id = randomBytes(6).toString('hex');
  log.error({ err: error, errorId: id, method }, 'a call failed for a reason that its caller cannot mend');
  return { ...parts, message: `${parts.message} (error ${id})` };
}

/** The same, in the shape that grpc-js sends. */
export function serviceError(error: unknown, method: string, log: Logger): Partial<ServiceError> {
  return toServiceError(errorStatus(error, method, log));
}
