import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { AttemptPhase, type AttemptReport, type Inventory } from '@galley/proto';
import type { Logger } from 'pino';
import { openCgroups } from './cgroup/open.ts';
import { DiskGauge } from './heartbeat/disk.ts';
import { Lease } from './heartbeat/lease.ts';
import { LeaseGuard } from './heartbeat/lease-guard.ts';
import { UsageSampler } from './heartbeat/usage.ts';
import { describeHost } from './inventory/host.ts';
import { buildInventory, standingWarnings } from './inventory/inventory.ts';
import { checkNodeName, keepNodeName, keptNodeName, nodeNameOf } from './inventory/node-name.ts';
import { checkReserve, type Reserve } from './inventory/reserve.ts';
import type { AttemptKey } from './journal/attempt-key.ts';
import { Journal } from './journal/journal.ts';
import { bootId, uptimeMs } from './launcher/boot.ts';
import { AgentLogs, type EndedSource } from './logs/logs.ts';
import type { LogPolicy } from './logs/policy.ts';
import { ContainerRuntime } from './runtimes/container/container.ts';
import { ProcessRuntime } from './runtimes/process.ts';
import { Runtimes } from './runtimes/runtimes.ts';
import { Attempts } from './session/attempts.ts';
import { AgentError } from './session/errors.ts';
import { CONTAINER_FEATURE, FEATURES } from './session/launch.ts';
import { defaultLog } from './session/logger.ts';
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
  /**
   * Default: the one under which this state directory has served before; in a new one the host's name, with what a node
   * name may not have replaced by `-`. A state directory never serves under another name.
   */
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
  readonly containers?: AgentContainerOptions;
  /** Closes the agent; jobs go on. */
  readonly signal?: AbortSignal;
  /** Default: pino on stderr, level from GALLEY_LOG_LEVEL or `info`. */
  readonly log?: Logger;
  readonly logPolicy?: LogPolicy;
  readonly times?: SessionTimes;
}

export interface AgentContainerOptions {
  /** The engine's Unix socket. Default: the first there is of Docker's and Podman's usual ones. */
  readonly socket?: string;
  /**
   * Lets containers be privileged, and name any user beside paths and devices of the host: whoever may submit jobs is then
   * root on this node. Default: false.
   */
  readonly allowPrivileged?: boolean;
  /** Bytes of images that this agent pulled before the longest unused is removed. Default: 40 GiB. */
  readonly imageCacheBytes?: number;
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
  const kept = options.dataDir === '' ? undefined : keptNodeName(resolve(options.dataDir));
  const nodeName = compile(options, kept);
  const log = (options.log ?? defaultLog()).child({ node: nodeName });
  const opened: Closer[] = [];
  try {
    return await open(options, nodeName, log, opened);
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
}

type Closer = () => Promise<void> | void;

/** What was opened last is closed first. */
async function closeAll(opened: Closer[]): Promise<void> {
  for (let close = opened.pop(); close !== undefined; close = opened.pop()) await close();
}

async function open(options: AgentOptions, node: string, log: Logger, opened: Closer[]): Promise<RunningAgent> {
  const directory = resolve(options.dataDir);
  const attemptsDirectory = join(directory, 'attempts');
  const boot = bootId();
  const account = options.account ?? 'default';
  const allowUnlimited = options.allowUnlimited ?? false;
  const plane = { address: options.address, token: options.token };
  const faults: string[] = [];
  let engineLost: string | undefined;
  let session: Session | undefined;

  const journal = await Journal.open({
    directory,
    onTorn: (bytes) => log.warn(`the journal's end was torn by a crash: ${bytes} bytes were cut off`),
    onFault: (error) => {
      faults.length = 0;
      if (error === undefined) log.info('the journal can be written again');
      else {
        log.error({ err: error }, 'the journal cannot be written: nothing new is accepted or reported until it can');
        faults.push(`The journal cannot be written: ${error.message}`);
      }
      session?.inventoryChanged();
    },
  });
  opened.push(() => journal.close());
  await mkdir(attemptsDirectory, { recursive: true, mode: 0o700 });
  const disk = new DiskGauge(directory);
  const logs = await AgentLogs.open({
    stateDirectory: directory,
    directory: attemptsDirectory,
    plane,
    node,
    account,
    incarnation: journal.incarnation,
    disk,
    log,
    ...(options.logPolicy === undefined ? {} : { policy: options.logPolicy }),
  });
  opened.push(() => logs.close());
  const processes = await ProcessRuntime.open({
    directory: join(directory, 'runtime'),
    // Of this state directory: two agents on one host must not empty each other's.
    cgroups: openCgroups(`galley-${journal.incarnation.slice(0, 8)}`),
  });
  opened.push(() => processes.close());
  const { socket, ...containerOptions } = options.containers ?? {};
  const containers = await ContainerRuntime.open({
    directory: join(directory, 'containers'),
    incarnation: journal.incarnation,
    ...(socket === undefined ? {} : { sockets: [socket] }),
    ...containerOptions,
  });
  opened.push(() => containers.close());
  const runtime = new Runtimes(processes, containers);
  if (containers.engine.name === 'up') log.info(`containers run on ${containers.engine.info.name}`);
  containers.on('engine', (state) => {
    engineLost = state.name === 'up' ? undefined : `No container can be started: ${state.reason}`;
    if (state.name === 'up') log.info(`containers run on ${state.info.name}`);
    else log.warn(`no container can be started, processes can: ${state.reason}`);
    session?.inventoryChanged();
  });
  const parts = {
    host: await describeHost(),
    runtime: runtime.description,
    reserve: options.reserve ?? {},
    labels: options.labels ?? {},
    named: options.namedResources ?? {},
    allowUnlimited,
  };
  for (const warning of standingWarnings(parts)) log.warn(warning);
  const inventory = (): Inventory =>
    buildInventory({
      ...parts,
      features: runtime.containerFault() === undefined ? [...FEATURES, CONTAINER_FEATURE] : FEATURES,
      warnings: engineLost === undefined ? faults : [...faults, engineLost],
    });
  const offered = inventory();

  const attempts = new Attempts({
    directory: attemptsDirectory,
    node,
    bootId: boot,
    uptimeMs,
    journal,
    runtime,
    logs,
    inventory: () => offered,
    allowUnlimited,
    containerFault: () => runtime.containerFault(),
    log,
  });
  opened.push(() => attempts.close());
  attempts.on('forgotten', (key) => logs.forget(key));
  logs.onDiskFull((key, reason) => attempts.stopFor(key, reason));
  await attempts.recover();
  await recoverLogs(logs, attempts, journal);

  const lease = new Lease(directory, boot);
  const guard = new LeaseGuard({ lease, attempts, uptimeMs, log });
  opened.push(() => guard.stop());
  const sampler = new UsageSampler(disk, () => attempts.running);
  opened.push(() => sampler.stop());
  await sampler.start(SAMPLE_MS);
  let named = keptNodeName(directory) !== undefined;
  session = new Session({
    plane,
    node,
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
    onLive: (live) => {
      logs.allow(live);
      if (!live || named) return;
      named = true;
      keepNodeName(directory, node).catch((error: unknown) => {
        named = false;
        log.warn({ err: error }, 'the name of this node could not be written down');
      });
    },
  });
  return runningAgent(node, session, opened, options.signal);
}

/** What was written and not shipped yet, of attempts that are over. */
async function recoverLogs(logs: AgentLogs, attempts: Attempts, journal: Journal): Promise<void> {
  const ended: EndedSource[] = [];
  for (const { key, report } of attempts.ended()) {
    if (report.phase === AttemptPhase.REJECTED) await logs.discard(key);
    else ended.push(endedSource(key, report));
  }
  await logs.recover(ended, async (keys) => {
    const remembered = await journal.remembered(keys);
    return Array.from(remembered, ([key, { report }]) => endedSource(key, report));
  });
}

/** Runs the session; whatever ends it, everything is closed after it. */
function runningAgent(
  nodeName: string,
  session: Session,
  opened: Closer[],
  signal: AbortSignal | undefined,
): RunningAgent {
  const ran = session.run();
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      signal?.removeEventListener('abort', onAbort);
      await session.close();
      await ran.catch(() => undefined);
      await closeAll(opened);
    })();
    return closing;
  };
  const onAbort = () => void close();
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  const closed = (async () => {
    try {
      await ran;
    } finally {
      await close();
    }
  })();
  // Whoever does not look at it is not to die of it.
  closed.catch(() => undefined);
  return { nodeName, close, closed };
}

function endedSource(key: AttemptKey, { jobNumber, logLengths }: AttemptReport): EndedSource {
  return { key, jobNumber, lengths: logLengths.map(Number) };
}

/** Checks the options, once; returns the node's name. `kept`: that of the state directory, if it has one. */
function compile(options: AgentOptions, kept: string | undefined): string {
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
    const name = options.nodeName ?? kept ?? nodeNameOf(hostname());
    if (kept !== undefined && name !== kept) {
      throw new RangeError(
        `nodeName: the state directory ${options.dataDir} is that of node ${kept}, whose jobs may still run; got ${JSON.stringify(name)}`,
      );
    }
    return checkNodeName(name);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new AgentError('INVALID_OPTION', error.message, { cause: error });
  }
}
