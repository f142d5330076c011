import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { AttemptPhase, type AttemptReport, type Inventory } from '@galley/proto';
import { destination, type Logger, pino } from 'pino';
import { openCgroups } from './cgroup/open.ts';
import { DiskGauge } from './heartbeat/disk.ts';
import { Lease } from './heartbeat/lease.ts';
import { LeaseGuard } from './heartbeat/lease-guard.ts';
import { UsageSampler } from './heartbeat/usage.ts';
import { describeHost } from './inventory/host.ts';
import { buildInventory, standingWarnings } from './inventory/inventory.ts';
import { checkNodeName, nodeNameOf } from './inventory/node-name.ts';
import { checkReserve, type Reserve } from './inventory/reserve.ts';
import type { AttemptKey } from './journal/attempt-key.ts';
import { Journal } from './journal/journal.ts';
import { bootId, uptimeMs } from './launcher/boot.ts';
import { AgentLogs, type EndedSource } from './logs/logs.ts';
import type { LogPolicy } from './logs/policy.ts';
import { ProcessRuntime } from './runtimes/process.ts';
import { Attempts } from './session/attempts.ts';
import { AgentError } from './session/errors.ts';
import { SESSION_TIMES, type SessionTimes } from './session/options.ts';
import { Session } from './session/session.ts';

/** Between samples of the host's usage. */
const SAMPLE_MS = 5_000;

export interface AgentOptions {
  /** The agent's state directory, on a local disk; created (0700) when missing. One agent at a time. */
  readonly dataDir: string;
  /** `host:port` of the control plane. */
  readonly address: string;
  readonly token: string;
  /** Default: the host's name, with what a node name may not have replaced by `-`. */
  readonly nodeName?: string;
  /** Default: `default`. */
  readonly computeEnvironment?: string;
  /** Default: `default`. */
  readonly account?: string;
  /** Take jobs although CPU, memory or processes cannot be limited here. Default: false. */
  readonly allowUnlimited?: boolean;
  /** What the host keeps for itself. Default: 5 %, and at least 1 GiB of memory. */
  readonly reserve?: Reserve;
  readonly labels?: Readonly<Record<string, string>>;
  /** Countable things that this node offers, by name: whole units. */
  readonly namedResources?: Readonly<Record<string, number>>;
  /** Closes the agent; jobs go on. */
  readonly signal?: AbortSignal;
  /** Default: pino on stderr, level from GALLEY_LOG_LEVEL or `info`. */
  readonly log?: Logger;
  readonly logPolicy?: LogPolicy;
  readonly times?: SessionTimes;
}

export interface RunningAgent {
  readonly nodeName: string;
  /** Jobs go on; a later agent on the same state directory takes them over. Idempotent. */
  close(): Promise<void>;
  /** Resolves when closed; rejects with an {@link AgentError} when trying again is of no use. Jobs go on either way. */
  readonly closed: Promise<void>;
}

/**
 * Starts the agent of this host: takes over what an earlier one left, then connects, for as long as it takes. Resolves
 * before the first connect. Throws AgentError (`INVALID_OPTION`), JournalError (`LOCKED`, `UNREADABLE`) or LauncherError.
 */
export async function runAgent(options: AgentOptions): Promise<RunningAgent> {
  const nodeName = compile(options);
  const log = (options.log ?? defaultLog()).child({ node: nodeName });
  const directory = resolve(options.dataDir);
  const boot = bootId();
  const agentWarnings: string[] = [];
  const allowUnlimited = options.allowUnlimited ?? false;
  const account = options.account ?? 'default';
  const plane = { address: options.address, token: options.token };
  let session: Session | undefined;

  const journal = await Journal.open({
    directory,
    onTorn: (bytes) => log.warn(`the journal's end was torn by a crash: ${bytes} bytes were cut off`),
    onFault: (error) => {
      agentWarnings.length = 0;
      if (error === undefined) log.info('the journal can be written again');
      else {
        log.error({ err: error }, 'the journal cannot be written: nothing new is accepted or reported until it can');
        agentWarnings.push(`The journal cannot be written: ${error.message}`);
      }
      session?.inventoryChanged();
    },
  });
  const attemptsDirectory = join(directory, 'attempts');
  await mkdir(attemptsDirectory, { recursive: true, mode: 0o700 });
  const disk = new DiskGauge(directory);
  const [host, runtime, logs] = await Promise.all([
    describeHost(),
    ProcessRuntime.open({
      directory: join(directory, 'runtime'),
      cgroups: openCgroups(`galley-${journal.incarnation.slice(0, 8)}`),
    }),
    AgentLogs.open({
      stateDirectory: directory,
      directory: attemptsDirectory,
      plane,
      node: nodeName,
      account,
      incarnation: journal.incarnation,
      disk,
      log,
      ...(options.logPolicy === undefined ? {} : { policy: options.logPolicy }),
    }),
  ]);
  const parts = {
    host,
    runtime: runtime.description,
    reserve: options.reserve ?? {},
    labels: options.labels ?? {},
    named: options.namedResources ?? {},
    allowUnlimited,
  };
  for (const warning of standingWarnings(parts)) log.warn(warning);
  const inventory = (): Inventory => buildInventory({ ...parts, warnings: agentWarnings });

  const attempts = new Attempts({
    directory: attemptsDirectory,
    node: nodeName,
    bootId: boot,
    uptimeMs,
    journal,
    runtime,
    logs,
    inventory: () => offered,
    allowUnlimited,
    log,
  });
  const offered = inventory();
  attempts.on('forgotten', (key) => logs.forget(key));
  logs.onDiskFull((key, reason) => attempts.stopFor(key, reason));
  await attempts.recover();
  const ended: EndedSource[] = [];
  for (const { key, report } of attempts.ended()) {
    if (report.phase === AttemptPhase.REJECTED) await logs.discard(key);
    else ended.push(endedSource(key, report));
  }
  await logs.recover(ended, async (keys) => {
    const remembered = await journal.remembered(keys);
    return Array.from(remembered, ([key, { report }]) => endedSource(key, report));
  });

  const lease = new Lease(directory, boot);
  const guard = new LeaseGuard({ lease, attempts, uptimeMs, log });
  const sampler = new UsageSampler(disk, () => attempts.running);
  await sampler.start(SAMPLE_MS);
  session = new Session({
    plane,
    node: nodeName,
    computeEnvironment: options.computeEnvironment ?? 'default',
    account,
    bootId: boot,
    journal,
    attempts,
    lease,
    uptimeMs,
    inventory,
    usage: () => sampler.latest(),
    times: options.times ?? SESSION_TIMES,
    log,
    onLive: (live) => logs.allow(live),
  });
  const running = session;
  const ran = running.run();

  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      options.signal?.removeEventListener('abort', onAbort);
      await running.close();
      await ran.catch(() => undefined);
      guard.stop();
      sampler.stop();
      attempts.close();
      await runtime.close();
      await logs.close();
      await journal.close();
    })();
    return closing;
  };
  const onAbort = () => void close();
  options.signal?.addEventListener('abort', onAbort, { once: true });
  if (options.signal?.aborted === true) onAbort();
  const closed = (async () => {
    try {
      await ran;
    } finally {
      await close();
    }
  })();
  closed.catch(() => undefined);
  return { nodeName, close, closed };
}

function endedSource(key: AttemptKey, { jobNumber, logLengths }: AttemptReport): EndedSource {
  return { key, jobNumber, lengths: logLengths.map(Number) };
}

/** Checks the options, once; returns the node's name. */
function compile(options: AgentOptions): string {
  try {
    if (options.dataDir === '') throw new RangeError('dataDir: a directory, got an empty text');
    if (!/^.+:\d{1,5}$/.test(options.address)) {
      throw new RangeError(`address: host:port, got ${JSON.stringify(options.address)}`);
    }
    checkReserve(options.reserve ?? {});
    for (const [name, count] of Object.entries(options.namedResources ?? {})) {
      if (!Number.isInteger(count) || count < 1) {
        throw new RangeError(`namedResources.${name}: a whole number from 1, got ${count}`);
      }
    }
    return options.nodeName === undefined ? nodeNameOf(hostname()) : checkNodeName(options.nodeName);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new AgentError('INVALID_OPTION', error.message, { cause: error });
  }
}

/** Lines for people on a terminal, JSON for collectors. */
function defaultLog(): Logger {
  const level = process.env['GALLEY_LOG_LEVEL'] ?? 'info';
  if (!process.stderr.isTTY) return pino({ name: 'galley-agent', level }, destination(2));
  return pino({ level }, humanLines());
}

/** One line a message: time, level if it matters, text. */
function humanLines() {
  return {
    write(line: string): void {
      const { level, time, msg, err } = JSON.parse(line) as {
        level: number;
        time: number;
        msg?: string;
        err?: { message?: string };
      };
      const mark = level >= 50 ? 'error: ' : level >= 40 ? 'warning: ' : '';
      const cause = err?.message === undefined ? '' : `: ${err.message}`;
      process.stderr.write(`${new Date(time).toISOString().slice(11, 19)} agent  ${mark}${msg ?? ''}${cause}\n`);
    },
  };
}
