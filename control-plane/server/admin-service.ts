import { type AdminService, PauseCause } from '@galley/proto';
import { jobIdText } from '../api/job-lookup.ts';
import { toResourcesOf } from '../api/job-messages.ts';
import { toStateCounts } from '../api/state-counts.ts';
import type { Pause } from '../core/types.ts';
import type { LogStore } from '../logs/log-store.ts';
import type { Turns } from '../turn/turns.ts';
import { streamBackup } from './backup-stream.ts';
import type { Handlers } from './handler.ts';

/** The account whose nodes the status shows orphans of. */
const ACCOUNT = 'default';

/** Orphans that a status names. */
const MAX_ORPHANS = 1_000;

export interface AdminParts {
  readonly turns: Turns;
  readonly logs: LogStore;
  readonly clusterId: string;
  readonly version: string;
  readonly startedAtMs: number;
  readonly dataDir: string;
  /** Begins to stop the control plane; does not wait. */
  readonly shutdown: () => void;
}

export function createAdminService(parts: AdminParts): Handlers<typeof AdminService> {
  const { turns } = parts;
  return {
    getClusterStatus: () => clusterStatus(parts),

    async pauseScheduling({ reason }) {
      await turns.apply({ kind: 'pause', reason });
      return {};
    },

    async resumeScheduling({ acceptLoss, waiveMissingNodes }) {
      const { pauses, awaitedNodes } = await turns.apply({ kind: 'resume', acceptLoss, waiveMissingNodes });
      return { pauses: pauses.map(toPause), awaitedNodes: awaitedNodes.map(nodeName) };
    },

    backup: () => streamBackup(turns.store, { clusterId: parts.clusterId, createdAtMs: Date.now() }),

    shutdown() {
      parts.shutdown();
      return Promise.resolve({});
    },
  };
}

async function clusterStatus({ turns, logs, clusterId, version, startedAtMs, dataDir }: AdminParts) {
  const [{ status, nodes }, usage] = await Promise.all([
    turns.read((view) => ({ status: view.status(), nodes: view.nodes(ACCOUNT) })),
    logs.usage(),
  ]);
  const orphans = nodes.flatMap(({ name, orphans: found }) =>
    found.map(({ jobId, childIndex, startedAtMs: since, ...orphan }) => ({
      node: name,
      orphan: { ...orphan, jobId: jobIdText({ id: jobId, child: childIndex }), startedAtMs: BigInt(since) },
    })),
  );
  return {
    clusterId,
    version,
    position: { epoch: BigInt(status.position.epoch), sequence: BigInt(status.position.sequence) },
    startedAtMs: BigInt(startedAtMs),
    pauses: status.pauses.map(toPause),
    liveJobs: toStateCounts(status.liveJobs),
    endedJobs: BigInt(status.endedJobs),
    nodes: status.nodes,
    readyNodes: status.readyNodes,
    capacity: toResourcesOf(status.capacity),
    allocated: toResourcesOf(status.allocated),
    awaitedNodes: status.awaitedNodes.map(nodeName),
    adoptedAttempts: BigInt(status.adoptedAttempts),
    orphans: orphans.slice(0, MAX_ORPHANS),
    rssBytes: BigInt(process.memoryUsage.rss()),
    logBytes: BigInt(usage.bytes),
    processId: BigInt(process.pid),
    dataDirectory: dataDir,
  };
}

/** The core names nodes by account and name. */
function nodeName(scoped: string): string {
  return scoped.slice(scoped.indexOf('/') + 1);
}

function toPause({ cause, message, sinceMs }: Pause) {
  const causes = { operator: PauseCause.OPERATOR, restored: PauseCause.RESTORED, loss: PauseCause.LOSS };
  return { cause: causes[cause], message, sinceMs: BigInt(sinceMs) };
}
