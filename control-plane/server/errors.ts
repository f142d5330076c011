import { LogStoreError } from '../logs/log-store.ts';
import { isErrno } from '../store/errno.ts';
import { StoreError } from '../store/store.ts';

export type ServerErrorCode =
  /** Something else listens on this port. */
  | 'ADDRESS_IN_USE'
  /** The address cannot be listened on: not this machine's, or not allowed. */
  | 'ADDRESS'
  /** A wider address than loopback without being told that this is meant. */
  | 'INSECURE_LISTEN'
  /** Another control plane uses the data directory. */
  | 'LOCKED'
  /** The data directory is on a network or memory file system. */
  | 'FILE_SYSTEM'
  /** The state was written by another version. */
  | 'FORMAT'
  /** The state is damaged or missing. */
  | 'STATE'
  /** The disk is full. */
  | 'FULL'
  /** The data directory cannot be made, read or written. */
  | 'DATA_DIR'
  /** The control plane cannot go on. */
  | 'FAILED';

/** Why a control plane does not start, or could not go on: one sentence for the operator. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
  readonly code: ServerErrorCode;
  constructor(code: ServerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** What went wrong while starting on this data directory, as one sentence. */
export function toServerError(error: unknown, dataDir: string): ServerError {
  if (error instanceof ServerError) return error;
  if (error instanceof StoreError) return fromStore(error);
  if (error instanceof LogStoreError) return fromLogs(error);
  const message = error instanceof Error ? error.message : String(error);
  const code = isErrno(error, 'EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'ENOENT') ? 'DATA_DIR' : 'FAILED';
  const full = isErrno(error, 'ENOSPC', 'EDQUOT');
  return new ServerError(full ? 'FULL' : code, `the control plane cannot use ${dataDir}: ${message}`, { cause: error });
}

function fromStore(cause: StoreError): ServerError {
  const { message } = cause;
  switch (cause.code) {
    case 'LOCKED':
    case 'FILE_SYSTEM':
    case 'FORMAT':
    case 'FULL':
      return new ServerError(cause.code, message, { cause });
    default:
      return new ServerError('STATE', message, { cause });
  }
}

function fromLogs(cause: LogStoreError): ServerError {
  const { message } = cause;
  switch (cause.code) {
    case 'LOCKED':
    case 'FORMAT':
      return new ServerError(cause.code, message, { cause });
    case 'NO_SPACE':
      return new ServerError('FULL', message, { cause });
    default:
      return new ServerError('STATE', message, { cause });
  }
}
