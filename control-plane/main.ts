import { mkdir } from 'node:fs/promises';
import { userInfo } from 'node:os';
import {
  AdminService,
  AgentService,
  ComputeEnvironmentService,
  EventService,
  HistoryService,
  JobDefinitionService,
  JobQueueService,
  JobService,
  LogService,
  NodeService,
} from '@galley/proto';
import { destination, type Logger, pino } from 'pino';
import { AgentPlane } from './agents/agent-plane.ts';
import { createComputeEnvironmentService } from './api/compute-environment-service.ts';
import { createEncodedJobService } from './api/encoded-job-service.ts';
import { createEventService } from './api/event-service.ts';
import { createHistoryService } from './api/history-service.ts';
import { createJobDefinitionService } from './api/job-definition-service.ts';
import { createJobQueueService } from './api/job-queue-service.ts';
import { createJobService } from './api/job-service.ts';
import { createLogService } from './api/log-service.ts';
import { createNodeService } from './api/node-service.ts';
import type { ApiParts } from './api/parts.ts';
import { SegmentLogStore } from './logs/segment-log-store.ts';
import { TokenAuthenticator } from './security/authenticator.ts';
import { isLoopback } from './security/listen-address.ts';
import { readOrCreateToken } from './security/token-file.ts';
import { createAdminService } from './server/admin-service.ts';
import {
  type DataDirectory,
  dataDirectory,
  type Endpoint,
  openState,
  removeEndpoint,
  writeEndpoint,
} from './server/data-directory.ts';
import { ServerError, toServerError } from './server/errors.ts';
import { createDefaults } from './server/first-start.ts';
import { GrpcServer } from './server/grpc-server.ts';
import { HttpServer } from './server/http-server.ts';
import { probeAddress, requireLoopback } from './server/listen.ts';
import { Metrics } from './server/metrics.ts';
import { placementResolver } from './server/placements.ts';
import { Retention } from './server/retention.ts';
import { VERSION } from './server/version.ts';
import type { LevelStore, LevelStoreOptions } from './store/level-store.ts';
import { EventLog } from './turn/event-log.ts';
import { loadCore } from './turn/load.ts';
import { TurnLoop } from './turn/turn-loop.ts';
import { JobWatcher } from './turn/watch.ts';

export { ServerError, type ServerErrorCode } from './server/errors.ts';

/** Where a control plane listens when nobody says otherwise. */
export const DEFAULT_HOST = '127.0.0.1';
export const DEFAULT_PORT = 8642;
const LAST_PORT = 65_535;

export interface ServerOptions {
  /** Made (0700) when missing. On a local disk; one control plane at a time. */
  readonly dataDir: string;
  /** Default `DEFAULT_HOST`. */
  readonly host?: string;
  /** Default `DEFAULT_PORT`; 0: any. */
  readonly port?: number;
  /** Of the HTTP plane (Connect, gRPC-web, health, metrics). Default: the one after `port` (8643), or any when `port` is 0. */
  readonly httpPort?: number;
  /** Accept a data directory in memory. Default false. */
  readonly allowMemoryFileSystem?: boolean;
  /** Accept a host that other machines reach, without encryption. Default false. */
  readonly insecureListen?: boolean;
  /** Default `GALLEY_LOG_LEVEL` or `info`. */
  readonly logLevel?: string;
  /** Default: pino on stderr at `logLevel`. */
  readonly log?: Logger;
  /** Acknowledge before the disk has it: a power cut then loses acknowledged jobs. For one test. Default false. */
  readonly unsafeNoSync?: boolean;
  /** Closes the control plane. */
  readonly signal?: AbortSignal;
}

export interface RunningServer {
  /** `host:port` of the gRPC plane. */
  readonly address: string;
  /** `host:port` of the HTTP plane. */
  readonly httpAddress: string;
  /** What was accepted becomes durable, streams are told to come back. Jobs go on. Idempotent. */
  close(): Promise<void>;
  /** Resolves when closed; rejects with a `ServerError` when it could not go on. */
  readonly closed: Promise<void>;
}

/** Starts a control plane. Rejects with a `ServerError`. */
export async function runServer(options: ServerOptions): Promise<RunningServer> {
  const { host = DEFAULT_HOST, port = DEFAULT_PORT, insecureListen = false } = options;
  // Beside the other one, so that a second control plane on a host needs no more than a port of its own.
  const httpPort = options.httpPort ?? (port === 0 || port === LAST_PORT ? 0 : port + 1);
  const log = options.log ?? pino({ level: levelOf(options), base: { pid: process.pid } }, destination(2));
  requireLoopback(host, insecureListen);
  if (!isLoopback(host)) {
    log.warn(`listening on ${host} WITHOUT ENCRYPTION: whoever can read the network can read the token and run jobs`);
  }
  if (options.unsafeNoSync === true) {
    log.warn('acknowledging WITHOUT SYNC: a power cut will lose jobs that were acknowledged');
  }
  const directory = dataDirectory(options.dataDir);
  const stack = new AsyncDisposableStack();
  try {
    const server = await start(
      { directory, host, port, httpPort, log, storeOptions: storeOptions(options, log) },
      stack,
    );
    if (options.signal?.aborted === true) void server.close();
    else options.signal?.addEventListener('abort', () => void server.close(), { once: true });
    return server;
  } catch (error) {
    await stack.disposeAsync();
    throw toServerError(error, directory.path);
  }
}

function levelOf({ logLevel }: ServerOptions): string {
  return logLevel ?? process.env['GALLEY_LOG_LEVEL'] ?? 'info';
}

function storeOptions(options: ServerOptions, log: Logger): LevelStoreOptions {
  return {
    allowMemoryFileSystem: options.allowMemoryFileSystem ?? false,
    unsafeNoSync: options.unsafeNoSync ?? false,
    onWarning: (error) => log.warn({ err: error }, 'the store had trouble off the commit path'),
  };
}

interface Start {
  readonly directory: DataDirectory;
  readonly host: string;
  readonly port: number;
  readonly httpPort: number;
  readonly log: Logger;
  readonly storeOptions: LevelStoreOptions;
}

/** Brings the parts up in order; `stack` takes them down again, last first. */
async function start(
  { directory, host, port, httpPort, log, storeOptions }: Start,
  stack: AsyncDisposableStack,
): Promise<RunningServer> {
  const startedAtMs = Date.now();
  const onWarning = (message: string, error?: unknown) => log.warn(error === undefined ? {} : { err: error }, message);
  if (port !== 0) await probeAddress(host, port);
  if (httpPort !== 0) await probeAddress(host, httpPort);
  let store: LevelStore = await openState(directory, storeOptions);
  const { clusterId } = store;
  let opened = true;
  const turns = await TurnLoop.start({
    async open() {
      if (!opened) store = await openState(directory, storeOptions);
      opened = false;
      return { store, core: await loadCore(store, { wallMs: Date.now() }) };
    },
    onWarning,
  }).catch(async (error: unknown) => {
    await store.close();
    throw error;
  });
  stack.defer(() => turns.close());
  const token = await readOrCreateToken(directory.path);
  await mkdir(directory.logs, { recursive: true, mode: 0o700 });
  const logs = await SegmentLogStore.open({ directory: directory.logs, onWarning });
  stack.defer(() => logs.close());
  await createDefaults(turns);

  const retention = new Retention({ turns, logs, onWarning });
  const retaining = retention.run();
  stack.defer(() => {
    retention.close();
    return retaining;
  });
  const authenticator = new TokenAuthenticator(token, { principal: ownLogin(), role: 'admin' });
  const grpc = new GrpcServer({ authenticator, log });
  stack.defer(() => grpc.close());
  const metrics = new Metrics({ view: () => turns.view, turns: () => turns.statistics });
  const http = new HttpServer({ authenticator, log, metrics });
  stack.defer(() => http.close());
  const agents = new AgentPlane({ clusterId, turns, logs, resolve: placementResolver(), onWarning });
  stack.defer(() => agents.close());

  const running = new Control(stack, turns);
  const parts: ApiParts = {
    turns,
    watcher: new JobWatcher(turns),
    events: new EventLog(turns),
    logs,
    nodes: agents.directory,
  };
  registerServices([grpc, http], parts);
  grpc.register(AgentService, agents.handlers);
  const shutdown = () => void running.close();
  const admin = { turns, logs, clusterId, version: VERSION, startedAtMs, dataDir: directory.path, shutdown };
  const adminService = createAdminService(admin);
  for (const plane of [grpc, http]) plane.register(AdminService, adminService);

  running.address = await listen(grpc, host, port);
  running.httpAddress = await listen(http, host, httpPort);
  const { address, httpAddress } = running;
  const endpoint: Endpoint = { address, httpAddress, pid: process.pid, clusterId };
  await writeEndpoint(directory, endpoint);
  stack.defer(() => removeEndpoint(directory, endpoint));
  log.info({ address, httpAddress, clusterId, dataDir: directory.path }, 'the control plane is up');
  return running;
}

/** Both planes serve the same handlers. */
function registerServices(planes: readonly (GrpcServer | HttpServer)[], parts: ApiParts): void {
  const jobs = createJobService(parts);
  const definitions = createJobDefinitionService(parts);
  const queues = createJobQueueService(parts);
  const environments = createComputeEnvironmentService(parts);
  const nodes = createNodeService(parts);
  const logs = createLogService(parts);
  const events = createEventService(parts);
  const history = createHistoryService(parts);
  const encodedJobs = createEncodedJobService(parts);
  for (const plane of planes) {
    if (plane instanceof GrpcServer) plane.register(JobService, jobs, encodedJobs);
    else plane.register(JobService, jobs);
    plane.register(JobDefinitionService, definitions);
    plane.register(JobQueueService, queues);
    plane.register(ComputeEnvironmentService, environments);
    plane.register(NodeService, nodes);
    plane.register(LogService, logs);
    plane.register(EventService, events);
    plane.register(HistoryService, history);
  }
}

async function listen(plane: GrpcServer | HttpServer, host: string, port: number): Promise<string> {
  try {
    return await plane.listen(host, port);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new ServerError('ADDRESS', `cannot listen on ${host}, port ${port}: ${detail}`, { cause: error });
  }
}

/** A control plane that is up: closed once, by whoever asks first, or by a state that cannot be had any more. */
class Control implements RunningServer {
  address = '';
  httpAddress = '';
  readonly closed: Promise<void>;
  readonly #stack: AsyncDisposableStack;
  readonly #turns: TurnLoop;
  readonly #closed = Promise.withResolvers<void>();
  #closing: Promise<void> | undefined;

  constructor(stack: AsyncDisposableStack, turns: TurnLoop) {
    this.#stack = stack;
    this.#turns = turns;
    this.closed = this.#closed.promise;
    // Whoever does not look at it is told by the process's end.
    this.closed.catch(() => undefined);
    void turns.stopped.then((reason) => {
      if (reason !== undefined) void this.close();
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.#stack.disposeAsync();
    } catch (error) {
      this.#closed.reject(new ServerError('FAILED', 'the control plane did not stop cleanly', { cause: error }));
      return;
    }
    const reason = await this.#turns.stopped;
    if (reason === undefined) this.#closed.resolve();
    else this.#closed.reject(new ServerError('FAILED', reason.message, { cause: reason }));
  }
}

/** Only this process's user can read the token, so whoever brings it is that user, and jobs run as them. */
function ownLogin(): string {
  try {
    return userInfo().username;
  } catch {
    // In a container a user often has a number only.
    return String(process.getuid?.() ?? 'galley');
  }
}
