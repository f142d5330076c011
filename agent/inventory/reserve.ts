/** What the host keeps for itself and for work that is not ours. */
export interface Reserve {
  /** Percent of the memory, 0 to 90. Default: 5. */
  readonly percent?: number;
  /** At least so much memory, in bytes. Default: 1 GiB. */
  readonly memoryBytes?: number;
  /**
   * So much CPU, in thousandths. Default: 0. A share of the CPUs would leave one core of two idle, and no room for a job
   * that asks for all of them; the host's own work still gets its time from the kernel.
   */
  readonly milliVcpu?: number;
}

export const DEFAULT_RESERVE_PERCENT = 5;
export const DEFAULT_RESERVE_MEMORY_BYTES = 1024 ** 3;
const MAX_RESERVE_PERCENT = 90;
/** On a host so small that the reserve would leave nothing, jobs still get this share of its memory. */
const LEAST_SHARE = 0.25;

export interface HostSize {
  readonly cores: number;
  readonly memoryBytes: number;
}

/** Throws RangeError naming field, constraint and value. */
export function checkReserve(reserve: Reserve): void {
  const { percent = 0, memoryBytes = 0, milliVcpu = 0 } = reserve;
  if (!(percent >= 0 && percent <= MAX_RESERVE_PERCENT)) {
    throw new RangeError(`reserve.percent: 0 to ${MAX_RESERVE_PERCENT}, got ${percent}`);
  }
  if (!(memoryBytes >= 0)) throw new RangeError(`reserve.memoryBytes: 0 or more, got ${memoryBytes}`);
  if (!(milliVcpu >= 0)) throw new RangeError(`reserve.milliVcpu: 0 or more, got ${milliVcpu}`);
}

/** What jobs may use: the host's, less its reserve (of memory the larger of percentage and minimum), and never nothing. */
export function allocatable(host: HostSize, reserve: Reserve): { milliVcpu: number; memoryBytes: number } {
  const share = (reserve.percent ?? DEFAULT_RESERVE_PERCENT) / 100;
  const totalMilli = host.cores * 1000;
  const keptMemory = Math.max(host.memoryBytes * share, reserve.memoryBytes ?? DEFAULT_RESERVE_MEMORY_BYTES);
  return {
    milliVcpu: Math.max(1, Math.floor(totalMilli - (reserve.milliVcpu ?? 0))),
    memoryBytes: Math.floor(Math.max(host.memoryBytes - keptMemory, host.memoryBytes * LEAST_SHARE)),
  };
}
