import type { Command } from 'commander';
import { countIn, LIVE_STATES } from '../../state-counts.ts';
import type { ClusterStatus } from '../../types.ts';
import { count, formatBytes, formatDuration, formatPosition, formatResources } from '../format.ts';
import { leaf } from '../global-options.ts';
import type { Host, Session } from '../host.ts';
import { note, print, printJson } from '../output.ts';
import { formatFields } from '../table.ts';

/** Who asks how things stand wants to hear soon that nobody answers. */
const ANSWER_MS = 5_000;
/** Orphans on the screen. */
const SHOWN_ORPHANS = 20;

export function statusCommand(host: Host): Command {
  const command = leaf('status', 'one screen about the cluster');
  return command.action(() =>
    host.run(command, async (session) => {
      const client = await session.client();
      const status = await client.getClusterStatus({ timeoutMs: ANSWER_MS });
      if (session.json) {
        printJson(session, status);
        return 0;
      }
      for (const line of formatFields(statusFields(status, client.address), session.colours)) print(session, line);
      for (const { cause, message } of status.pauses) {
        print(session, session.colours('yellow', `Paused (${cause?.toLowerCase() ?? 'unknown'}): ${message}`));
      }
      for (const { node, orphan } of status.orphans.slice(0, SHOWN_ORPHANS)) {
        if (orphan === undefined) continue;
        const what = `${orphan.jobName} ${orphan.jobId} attempt ${orphan.attempt}`;
        print(session, `Orphan on ${node}: ${what}${orphan.running ? ', running' : ', ended'}`);
      }
      const more = status.orphans.length - SHOWN_ORPHANS;
      if (more > 0) note(session, `${count(more, 'orphan')} more; all of them: galley status --json`);
      suggest(session, status);
      return 0;
    }),
  );
}

function statusFields(status: ClusterStatus, address: string): [string, string | undefined][] {
  const { startedAtMs, position, liveJobs, capacity, allocated } = status;
  const live = LIVE_STATES.map((state) => `${countIn(liveJobs, [state])} ${state}`);
  return [
    ['Control plane', `${address}, version ${status.version}, process ${status.processId}`],
    ['Up', startedAtMs === undefined ? undefined : formatDuration(Date.now() - startedAtMs)],
    ['Data', `${status.dataDirectory}, logs ${formatBytes(status.logBytes)}, memory ${formatBytes(status.rssBytes)}`],
    ['Cluster', status.clusterId],
    ['Position', position && formatPosition(position)],
    ['Nodes', `${status.readyNodes} ready of ${status.nodes}`],
    ['For jobs', formatResources(capacity)],
    ['Allocated', formatResources(allocated)],
    ['Jobs', [...live, `${status.endedJobs} ended`].join(', ')],
    ['Awaited nodes', status.awaitedNodes.join(', ')],
    ['Adopted', status.adoptedAttempts === 0 ? undefined : count(status.adoptedAttempts, 'attempt')],
  ];
}

function suggest(session: Session, { pauses, awaitedNodes, nodes, liveJobs, endedJobs }: ClusterStatus): void {
  if (pauses.some(({ cause }) => cause === 'LOSS')) note(session, '  galley resume --accept-loss');
  else if (awaitedNodes.length > 0) note(session, '  galley resume --waive-missing-nodes');
  else if (pauses.length > 0) note(session, '  galley resume');
  else if (nodes === 0) note(session, '  galley up   (makes this host a node)');
  else if (endedJobs === 0 && countIn(liveJobs) === 0) note(session, '  galley run -- echo hello');
}
