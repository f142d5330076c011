import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { LogChunk } from './log-store.ts';
import { SegmentLogStore } from './segment-log-store.ts';
import { refOf } from './testing.ts';

/**
 * Appends with sync on, beside the floor of the same run: one write and one fdatasync for the same bytes in groups of the same
 * size. Usage: node control-plane/logs/bench.ts [--json] [--seconds 2] [--directory /where]
 */
interface Load {
  readonly name: string;
  readonly chunkBytes: number;
  /** Callers that each wait for their ack. */
  readonly inFlight: number;
  /** Chunks of one call: what an agent's message carries. */
  readonly perCall: number;
}

const LOADS: readonly Load[] = [
  { name: '200 B, 1 in flight', chunkBytes: 200, inFlight: 1, perCall: 1 },
  { name: '200 B, 64 in flight', chunkBytes: 200, inFlight: 64, perCall: 1 },
  { name: '200 B, 64 in flight, 100 a call', chunkBytes: 200, inFlight: 64, perCall: 100 },
  { name: '64 KiB, 1 in flight', chunkBytes: 65_536, inFlight: 1, perCall: 1 },
  { name: '64 KiB, 64 in flight', chunkBytes: 65_536, inFlight: 64, perCall: 1 },
];

interface Figure {
  readonly chunksPerSecond: number;
  readonly mibPerSecond: number;
}

const figure = (load: Load, chunks: number, seconds: number): Figure => ({
  chunksPerSecond: Math.round(chunks / seconds),
  mibPerSecond: Math.round(((chunks * load.chunkBytes) / seconds / 1024 / 1024) * 10) / 10,
});

/** Every call is a new attempt's next output, so that most attempts are short, as they are at 1000 jobs/s. */
async function measureStore(directory: string, load: Load, seconds: number): Promise<Figure> {
  const store = await SegmentLogStore.open({ directory });
  const data = new Uint8Array(load.chunkBytes).fill(97);
  let jobs = 0;
  let chunks = 0;
  const start = performance.now();
  const caller = async (): Promise<void> => {
    while (performance.now() - start < seconds * 1000) {
      const call = Array.from({ length: load.perCall }, (_, index): LogChunk => {
        const ref = refOf(jobs + 1 + Math.floor(index / 4));
        const offset = (index % 4) * load.chunkBytes;
        return { kind: 'data', ref, stream: 'output', offset, observedAtMs: 1, data };
      });
      jobs += Math.ceil(load.perCall / 4);
      await store.append(call);
      chunks += call.length;
    }
  };
  await Promise.all(Array.from({ length: load.inFlight }, caller));
  const result = figure(load, chunks, (performance.now() - start) / 1000);
  await store.close();
  return result;
}

async function measureFloor(directory: string, load: Load, seconds: number): Promise<Figure> {
  const file = await open(join(directory, 'floor'), 'w');
  const chunksAtOnce = load.inFlight * load.perCall;
  const bytes = Buffer.alloc(load.chunkBytes * chunksAtOnce, 97);
  let position = 0;
  const start = performance.now();
  while (performance.now() - start < seconds * 1000) {
    await file.write(bytes, 0, bytes.length, position);
    await file.datasync();
    position += bytes.length;
  }
  const result = figure(load, position / load.chunkBytes, (performance.now() - start) / 1000);
  await file.close();
  return result;
}

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '2' },
    directory: { type: 'string', default: tmpdir() },
  },
});
for (const load of LOADS) {
  const directory = await mkdtemp(join(values.directory, 'galley-logs-bench-'));
  try {
    const seconds = Number(values.seconds);
    // Before and after, because a shared disk changes its mind.
    const before = await measureFloor(directory, load, seconds / 2);
    const ours = await measureStore(join(directory, 'logs'), load, seconds);
    const after = await measureFloor(directory, load, seconds / 2);
    const floor = before.chunksPerSecond > after.chunksPerSecond ? before : after;
    const share = Math.round((100 * ours.chunksPerSecond) / floor.chunksPerSecond);
    process.stdout.write(
      values.json
        ? `${JSON.stringify({ load: load.name, ours, floor, sharePercent: share })}\n`
        : `${load.name}: ${ours.chunksPerSecond} chunks/s, ${ours.mibPerSecond} MiB/s; floor ${floor.chunksPerSecond} chunks/s (${share} %)\n`,
    );
  } finally {
    await rm(directory, { recursive: true });
  }
}
