import { checkInteger } from './validate.ts';

const MIB = 1024 * 1024;
export const DEFAULT_SEGMENT_BYTES = 64 * MIB;
/** Logs beyond this give way, oldest segments first, also when they are younger than the retention. */
export const DEFAULT_MAX_BYTES = 64 * 1024 * MIB;
/** Below this much free space appends are refused, ... */
export const DEFAULT_FREE_FLOOR_BYTES = 512 * MIB;
/** ... or below this share of the disk, whichever is less: a small disk takes logs too. */
export const DEFAULT_FREE_FLOOR_SHARE = 0.05;

export interface LogStoreOptions {
  /** Made when it is missing, 0700. */
  readonly directory: string;
  /** Default 64 MiB, 4 KiB to 1 GiB. A segment passes it by at most one turn (16 MiB). */
  readonly segmentBytes?: number;
  /** Default 64 GiB; at least two segments. */
  readonly maxBytes?: number;
  /** Default 512 MiB, or 5 % of the disk if that is less. */
  readonly freeFloorBytes?: number;
  /** Told in a sentence what an operator should know: a torn tail, a rebuilt index, a failed write. */
  readonly onWarning?: (message: string) => void;
}

export interface CompiledOptions {
  readonly directory: string;
  readonly segmentBytes: number;
  readonly maxBytes: number;
  readonly freeFloorBytes: number;
  readonly freeFloorShare: number;
  readonly warn: (message: string) => void;
}

export function compileOptions(options: LogStoreOptions): CompiledOptions {
  const { directory, segmentBytes = DEFAULT_SEGMENT_BYTES, maxBytes = DEFAULT_MAX_BYTES } = options;
  const { freeFloorBytes = DEFAULT_FREE_FLOOR_BYTES, onWarning = () => {} } = options;
  checkInteger('segmentBytes', segmentBytes, 4096, 1024 * MIB);
  checkInteger('maxBytes', maxBytes, 2 * segmentBytes, Number.MAX_SAFE_INTEGER);
  checkInteger('freeFloorBytes', freeFloorBytes, 0, Number.MAX_SAFE_INTEGER);
  const freeFloorShare = options.freeFloorBytes === undefined ? DEFAULT_FREE_FLOOR_SHARE : 1;
  return { directory, segmentBytes, maxBytes, freeFloorBytes, freeFloorShare, warn: onWarning };
}
