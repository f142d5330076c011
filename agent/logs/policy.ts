const MIB = 1024 * 1024;

/** Bounds on what one stream of one job may cost; documented for users in one place: here. */
export interface LogPolicy {
  /** The first bytes of a stream are always kept. */
  readonly headBytes: number;
  /** So are the last ones. What a stream grows beyond both gives way in the middle, and the log says how much is missing. */
  readonly tailBytes: number;
  /** Disk is given back in steps of so many bytes. */
  readonly punchBytes: number;
  /** Bytes that a running job ships at once before it is slowed down, ... */
  readonly burstBytes: number;
  /** ... to so many bytes a second; after its end the rest goes at full speed. */
  readonly sustainedBytesPerSecond: number;
  /** Below so many free bytes of the state directory's disk the job whose output takes most of it is stopped: */
  readonly floorBytes: number;
  /** or below this share of the disk, whichever is less. */
  readonly floorShare: number;
  /** A job whose output takes less is no flood, however full the disk is. */
  readonly floodBytes: number;
  /** Acked logs stay on the node for so long, ... */
  readonly retentionMs: number;
  /** ... at most so many attempts, ... */
  readonly retainedAttempts: number;
  /** ... while more than this many times the floor is free. */
  readonly retentionFloors: number;
}

export const LOG_POLICY: LogPolicy = {
  headBytes: 16 * MIB,
  tailBytes: 16 * MIB,
  punchBytes: 8 * MIB,
  burstBytes: 16 * MIB,
  sustainedBytesPerSecond: 64 * 1024,
  floorBytes: 1024 * MIB,
  floorShare: 0.05,
  floodBytes: 4 * MIB,
  retentionMs: 24 * 3600 * 1000,
  retainedAttempts: 10_000,
  retentionFloors: 2,
};

export const FLOOD_REASON = 'the job wrote more than its log keeps: the first and last 16 MiB of a stream';
export const GONE_REASON = 'the file is gone from the node';

/** Free bytes below which a flood is stopped, on a disk of this size. */
export function diskFloor(policy: LogPolicy, totalBytes: number): number {
  return Math.min(policy.floorBytes, totalBytes * policy.floorShare);
}
