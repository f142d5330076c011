import { join } from 'node:path';
import type { AttemptKey } from '../journal/attempt-key.ts';
import { RecordFile } from '../journal/record-file.ts';
import type { SavedStream } from './log-stream.ts';

/** How far the logs of one attempt have come. */
export interface SavedAttempt {
  readonly key: AttemptKey;
  readonly streams: readonly SavedStream[];
  /** When the control plane had all of it, end and logs; Unix ms, 0 before. From then on it is only kept for a while. */
  readonly retiredAtMs: number;
}

type PositionRecord = SavedAttempt | { readonly key: AttemptKey; readonly gone: true };

/**
 * The positions of all logs on this node, across restarts. Written without a sync where losing them only means that bytes are
 * sent twice (the store drops what it has); synced where the file itself is about to lose bytes.
 */
export class LogPositions {
  readonly saved: Map<AttemptKey, SavedAttempt>;
  readonly #file: RecordFile;

  private constructor(saved: Map<AttemptKey, SavedAttempt>, file: RecordFile) {
    this.saved = saved;
    this.#file = file;
  }

  static async open(directory: string): Promise<LogPositions> {
    const saved = new Map<AttemptKey, SavedAttempt>();
    const { file } = await RecordFile.open({
      path: join(directory, 'log-positions'),
      apply: (payload) => {
        const record = JSON.parse(Buffer.from(payload).toString()) as PositionRecord;
        if ('gone' in record) saved.delete(record.key);
        else saved.set(record.key, record);
      },
      snapshot: () => (saved.size === 0 ? [] : Array.from(saved.values(), encode)),
    });
    return new LogPositions(saved, file);
  }

  put(attempts: readonly SavedAttempt[], durable: boolean): Promise<void> {
    return this.#file.append(attempts.map(encode), durable);
  }

  remove(keys: readonly AttemptKey[]): Promise<void> {
    return this.#file.append(
      keys.map((key) => encode({ key, gone: true })),
      false,
    );
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

function encode(record: PositionRecord): Uint8Array {
  return Buffer.from(JSON.stringify(record));
}
