import type { Command } from 'commander';
import { connectGalley, type GalleyClient } from '../../client.ts';
import { resolveDataDirectory } from '../../options.ts';
import { countIn } from '../../state-counts.ts';
import type { JobStateName } from '../../types.ts';
import { type DaemonKind, findRunning } from '../daemon-record.ts';
import { stopProcess } from '../daemons.ts';
import { CliError } from '../exit.ts';
import { count } from '../format.ts';
import { leaf } from '../global-options.ts';
import type { Host, Session } from '../host.ts';
import { note, print, printJson } from '../output.ts';
import { type Progress, startProgress } from '../progress.ts';

const STOP_MS = 30_000;
const ALIVE: readonly JobStateName[] = ['SUBMITTED', 'PENDING', 'RUNNABLE', 'STARTING', 'RUNNING'];
/** Ids cancelled in one go. */
const CANCEL_BATCH = 10_000;

export function downCommand(host: Host): Command {
  const command = leaf('down', 'stop the agent and the control plane of this machine; jobs go on').option(
    '--stop-jobs',
    'end all jobs first',
  );
  return command.action(() =>
    host.run(command, async (session) => {
      const stopJobs = command.opts<{ stopJobs?: boolean }>().stopJobs === true;
      const dataDirectory = resolveDataDirectory(session.connection);
      const kinds = (['agent', 'server'] as const).filter((kind) => findRunning(dataDirectory, kind) !== undefined);
      const progress = startProgress(session.stderr, 'stopping ...');
      try {
        const jobs = await settleJobs(session, dataDirectory, stopJobs, progress);
        for (const kind of kinds) await stop(dataDirectory, kind, progress);
        progress.stop();
        report(session, dataDirectory, kinds, jobs);
        return 0;
      } finally {
        progress.stop();
      }
    }),
  );
}

interface JobsLeft {
  readonly ended: number;
  readonly running: number;
  readonly waiting: number;
}

/** What the control plane knows of its jobs, and their end if that is wanted; undefined when it does not answer. */
async function settleJobs(
  session: Session,
  dataDirectory: string,
  stopJobs: boolean,
  progress: Progress,
): Promise<JobsLeft | undefined> {
  if (findRunning(dataDirectory, 'server') === undefined) return undefined;
  const client = connectGalley({ dataDirectory, env: {}, retry: { attempts: 2 } });
  try {
    const ended = stopJobs ? await endAllJobs(client, progress) : 0;
    const { liveJobs } = await client.getClusterStatus();
    const running = countIn(liveJobs, ['starting', 'running']);
    return { ended, running, waiting: countIn(liveJobs) - running };
  } catch (error) {
    if (stopJobs) throw error;
    note(session, `galley: the control plane does not answer: ${(error as Error).message}`);
    return undefined;
  } finally {
    client.close();
  }
}

async function endAllJobs(client: GalleyClient, progress: Progress): Promise<number> {
  const ids: string[] = [];
  for await (const job of client.listJobs({ states: ALIVE })) ids.push(job.jobId);
  for (let from = 0; from < ids.length; from += CANCEL_BATCH) {
    const batch = ids.slice(from, from + CANCEL_BATCH);
    progress.set(`ending ${count(ids.length, 'job')} ...`);
    await client.cancelJobs(batch, { reason: 'galley down --stop-jobs' });
    for await (const _ of client.watchJobs(batch)) {
      // The stream ends when all of them are over.
    }
  }
  return ids.length;
}

async function stop(dataDirectory: string, kind: DaemonKind, progress: Progress): Promise<void> {
  const running = findRunning(dataDirectory, kind);
  if (running === undefined) return;
  const name = kind === 'server' ? 'control plane' : 'agent';
  progress.set(`stopping the ${name} (process ${running.pid}) ...`);
  if (await stopProcess(running, STOP_MS)) return;
  throw new CliError(`the ${name} (process ${running.pid}) still runs after ${STOP_MS / 1000} s`, [
    `kill -9 ${running.pid}   (nothing that was acknowledged is lost)`,
  ]);
}

function report(session: Session, dataDirectory: string, kinds: readonly DaemonKind[], jobs: JobsLeft | undefined) {
  if (session.json) {
    printJson(session, { dataDirectory, stopped: kinds, ...(jobs === undefined ? {} : { jobs }) });
    return;
  }
  if (kinds.length === 0) {
    note(session, `nothing of ${dataDirectory} runs on this machine`);
    note(session, '  galley up');
    return;
  }
  if (jobs !== undefined && jobs.ended > 0) print(session, `${count(jobs.ended, 'job')} ended`);
  for (const kind of kinds) print(session, `${kind === 'server' ? 'Control plane' : 'Agent'} stopped`);
  if (jobs === undefined || jobs.running + jobs.waiting === 0) return;
  const waits = jobs.waiting === 0 ? '' : `, ${jobs.waiting} wait`;
  print(session, `${count(jobs.running, 'job')} still running without them${waits}; \`galley up\` picks them up again`);
}
