/**
 * Loaded into a process of Galley before its program (`node --import`), so that the product needs no code for being
 * measured: over the channel to its parent it answers what the process did between `begin` and `end`.
 */
import { writeFileSync } from 'node:fs';
import { type Profiler, Session } from 'node:inspector/promises';
import { monitorEventLoopDelay, PerformanceObserver, performance } from 'node:perf_hooks';

export type ProbeRequest = { readonly kind: 'begin'; readonly profile: boolean } | ProbeEnd;

interface ProbeEnd {
  readonly kind: 'end';
  /** Where the CPU profile goes if one was begun. */
  readonly profilePath?: string;
}

/** How late the event loop was, over samples a millisecond apart. */
export interface Stalls {
  readonly samples: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  /** Lateness in ms up to each percentile, ascending in both. */
  readonly percentiles: readonly (readonly [percentile: number, lateMs: number])[];
}

/** What a process did in a stretch of time. */
export interface Sample {
  readonly wallMs: number;
  readonly cpuUserMs: number;
  readonly cpuSystemMs: number;
  /** Share of the time in which the event loop was not idle. */
  readonly loopBusy: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
  /** Memory outside the heap that its objects hold: typed arrays and buffers. */
  readonly externalBytes: number;
  readonly collections: { readonly count: number; readonly totalMs: number; readonly maxMs: number };
  readonly stalls: Stalls;
}

const RESOLUTION_MS = 1;
const NS_PER_MS = 1e6;
const SAMPLING_US = 500;

const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
const collections = { count: 0, totalMs: 0, maxMs: 0 };
let since = { wall: 0, cpu: process.cpuUsage(), loop: performance.eventLoopUtilization() };
let profiler: Session | undefined;

new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) {
    collections.count++;
    collections.totalMs += duration;
    collections.maxMs = Math.max(collections.maxMs, duration);
  }
}).observe({ entryTypes: ['gc'] });

async function begin(profile: boolean): Promise<void> {
  if (profile) {
    profiler = new Session();
    profiler.connect();
    await profiler.post('Profiler.enable');
    await profiler.post('Profiler.setSamplingInterval', { interval: SAMPLING_US });
    await profiler.post('Profiler.start');
  }
  Object.assign(collections, { count: 0, totalMs: 0, maxMs: 0 });
  since = { wall: performance.now(), cpu: process.cpuUsage(), loop: performance.eventLoopUtilization() };
  delay.enable();
  delay.reset();
}

async function end(profilePath: string | undefined): Promise<Sample> {
  delay.disable();
  const cpu = process.cpuUsage(since.cpu);
  const memory = process.memoryUsage();
  const sample: Sample = {
    wallMs: performance.now() - since.wall,
    cpuUserMs: cpu.user / 1000,
    cpuSystemMs: cpu.system / 1000,
    loopBusy: performance.eventLoopUtilization(since.loop).utilization,
    rssBytes: memory.rss,
    heapBytes: memory.heapUsed,
    externalBytes: memory.external,
    collections: { ...collections },
    stalls: stalls(),
  };
  const profile = await endProfile();
  if (profile !== undefined && profilePath !== undefined) writeFileSync(profilePath, JSON.stringify(profile));
  return sample;
}

async function endProfile(): Promise<Profiler.Profile | undefined> {
  if (profiler === undefined) return undefined;
  const { profile } = await profiler.post('Profiler.stop');
  profiler.disconnect();
  profiler = undefined;
  return profile;
}

function stalls(): Stalls {
  // A sample is the time between two firings of a timer, its own period included.
  const late = (ns: number) => Math.max(0, ns / NS_PER_MS - RESOLUTION_MS);
  const at = (percentile: number) => (delay.count === 0 ? 0 : late(delay.percentile(percentile)));
  return {
    samples: delay.count,
    p50Ms: at(50),
    p99Ms: at(99),
    p999Ms: at(99.9),
    maxMs: delay.count === 0 ? 0 : late(delay.max),
    percentiles: delay.count === 0 ? [] : [...delay.percentiles].map(([percentile, ns]) => [percentile, late(ns)]),
  };
}

async function answer(request: ProbeRequest): Promise<void> {
  if (request.kind === 'begin') await begin(request.profile);
  const reply = request.kind === 'begin' ? { begun: true } : await end(request.profilePath);
  process.send?.(reply);
}

process.on('message', (request: ProbeRequest) => void answer(request));
// Being watched must not keep a process alive.
process.channel?.unref();
