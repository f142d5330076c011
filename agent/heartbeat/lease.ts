import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const LEASE_FILE = 'lease';

/**
 * Until when this node may run jobs that are `fenced`. It counts from the sending of the heartbeat that was answered, on the
 * boot clock: the control plane counts from its arrival, later, so the node is always the first to give up. It is kept in a
 * file, so that an agent that was away for longer stops such jobs at once.
 */
export class Lease {
  readonly #path: string;
  readonly #bootId: string;
  #untilUptimeMs: number;
  #writing: Promise<void> = Promise.resolve();
  #written: number;

  constructor(directory: string, bootId: string) {
    this.#path = join(directory, LEASE_FILE);
    this.#bootId = bootId;
    this.#untilUptimeMs = readLease(this.#path, bootId);
    this.#written = this.#untilUptimeMs;
  }

  get untilUptimeMs(): number {
    return this.#untilUptimeMs;
  }

  /** Never shortens it: an answer that comes late says less than one that came before. */
  renew(sentAtUptimeMs: number, leaseMs: number): void {
    this.#untilUptimeMs = Math.max(this.#untilUptimeMs, sentAtUptimeMs + leaseMs);
  }

  /** Survives kill -9 of the agent; a host that restarts has no job left to fence. Failing leaves an earlier end: safe. */
  persist(): Promise<void> {
    if (this.#written === this.#untilUptimeMs) return this.#writing;
    const until = (this.#written = this.#untilUptimeMs);
    const temporary = `${this.#path}.new`;
    this.#writing = this.#writing.then(async () => {
      try {
        await writeFile(temporary, `${this.#bootId} ${until}\n`, { mode: 0o600 });
        await rename(temporary, this.#path);
      } catch {
        this.#written = 0;
      }
    });
    return this.#writing;
  }
}

/** 0 when there is none of this boot: expired. */
function readLease(path: string, bootId: string): number {
  try {
    const [boot, until] = readFileSync(path, 'utf8').trim().split(' ');
    return boot === bootId ? Number(until) || 0 : 0;
  } catch {
    return 0;
  }
}
