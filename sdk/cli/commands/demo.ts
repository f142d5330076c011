import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { GalleyClient } from '../../client.ts';
import { type AgentUp, bringUpAgent, bringUpServer, type ServerUp } from '../cluster.ts';
import { type DaemonKind, findRunning } from '../daemon-record.ts';
import { stopProcess } from '../daemons.ts';
import { type Batch, countStates, describeBatch, submitBatch, watchBatch } from '../demo/batch.ts';
import { findCorpus } from '../demo/corpus.ts';
import { costFields, costOf } from '../demo/cost.ts';
import { liveLine } from '../demo/live-line.ts';
import { prepareStage, type Stage } from '../demo/stage.ts';
import { CliError } from '../exit.ts';
import { count, formatResources } from '../format.ts';
import { leaf } from '../global-options.ts';
import type { Host, Session } from '../host.ts';
import { untilInterrupted } from '../interrupt.ts';
import { missingLimits } from '../node-limits.ts';
import { note, print, printJson } from '../output.ts';
import { parseInteger } from '../parse.ts';
import { formatFields } from '../table.ts';

const DEFAULT_JOBS = 36;
const STOP_MS = 30_000;
const KEPT_INDEX = 'word-index.json';

export function demoCommand(host: Host): Command {
  const command = leaf('demo', 'start everything, run a real batch, show what it cost, leave nothing running').option(
    '--jobs <number>',
    'map jobs',
    parseInteger(1, 500),
    DEFAULT_JOBS,
  );
  return command.action(() =>
    host.run(command, async (session) => {
      const { jobs } = command.opts<{ jobs: number }>();
      const corpus = findCorpus();
      if (corpus === undefined) throw new CliError('no node_modules with Markdown files here', ['npm ci']);
      // Only what is said here: the demo never touches a data directory that merely is the usual one.
      const given = session.options.dataDir;
      const root = mkdtempSync(join(tmpdir(), 'galley-demo-'));
      chmodSync(root, 0o755);
      const dataDirectory = given === undefined ? join(root, 'data') : resolve(given);
      const stopped = () => ['stopped; nothing runs any more'];
      try {
        return await untilInterrupted(session, stopped, async (signal) => {
          note(session, `${count(corpus.files.length, 'Markdown file')} under ${corpus.directory}`);
          const stage = prepareStage(root, corpus.files, jobs);
          await playDemo(session, stage, { dataDirectory, keep: given !== undefined }, signal);
          return 0;
        });
      } finally {
        rmSync(root, { recursive: true, force: true });
      }
    }),
  );
}

interface Place {
  readonly dataDirectory: string;
  /** The directory was given: what the demo made stays there. */
  readonly keep: boolean;
}

async function playDemo(session: Session, stage: Stage, place: Place, signal: AbortSignal): Promise<void> {
  const live = liveLine(session.stderr);
  let server: ServerUp | undefined;
  let agent: AgentUp | undefined;
  let batch: Batch | undefined;
  let finished = false;
  const options = {
    dataDirectory: place.dataDirectory,
    port: 0,
    // A demo's state may be lost with a reboot; many systems keep /tmp in memory.
    allowMemoryFileSystem: true,
    env: session.env,
    signal,
    say: (text: string) => live.set(text),
  };
  try {
    server = await bringUpServer(options);
    live.done(`control plane on ${server.client.address}, process ${server.pid}`);
    agent = await bringUpAgent(options, server.client);
    live.done(`agent of node ${agent.node.name}: ${formatResources(agent.node.capacity)} for jobs`);
    warnOfLimits(session, agent);
    batch = await submitBatch(server.client, stage);
    live.done(`${batch.mapIds.length} map jobs and a merge that waits for them: submitted, durable`);
    await watchBatch(server.client, batch, (states) => live.set(countStates(states)), signal);
    finished = true;
    await report(session, server.client, batch, stage, place, () =>
      live.done(`${count(stage.parts.length + 1, 'job')} done`),
    );
  } finally {
    live.clear();
    if (server !== undefined && batch !== undefined && !finished) await endJobs(server.client, batch);
    server?.client.close();
    // What was not started here is not stopped here.
    if (agent?.started !== false) await stop(place.dataDirectory, 'agent');
    if (server?.started !== false) await stop(place.dataDirectory, 'server');
  }
}

async function report(
  session: Session,
  client: GalleyClient,
  batch: Batch,
  stage: Stage,
  { dataDirectory, keep }: Place,
  say: () => void,
): Promise<void> {
  const jobs = await describeBatch(client, batch);
  say();
  const log: Uint8Array[] = [];
  for await (const chunk of client.followLog(batch.mergeId)) log.push(chunk.data);
  const index = keep ? join(dataDirectory, KEPT_INDEX) : undefined;
  if (index !== undefined) copyFileSync(stage.index, index);
  const cost = costOf(jobs);
  if (session.json) {
    printJson(session, { ...cost, log: Buffer.concat(log).toString(), ...(index === undefined ? {} : { index }) });
    return;
  }
  print(session, `\n${Buffer.concat(log).toString().trimEnd()}\n`);
  for (const line of formatFields(costFields(cost), session.colours)) print(session, line);
  note(
    session,
    index === undefined ? '\nthe index is gone with the temporary directory; --data-dir keeps it' : `\nindex: ${index}`,
  );
}

function warnOfLimits(session: Session, { node }: AgentUp): void {
  const missing = missingLimits(node).map(({ resource }) => resource);
  if (missing.length === 0) return;
  note(
    session,
    session.colours('yellow', `warning: this system gives no limits on ${missing.join(', ')}; jobs run without`),
  );
}

/** Nothing may run on when the demo ends early. */
async function endJobs(client: GalleyClient, { mapIds, mergeId }: Batch): Promise<void> {
  const ids = [...mapIds, mergeId];
  await client.cancelJobs(ids, { reason: 'the demo was interrupted', graceSeconds: 1 });
  for await (const _ of client.watchJobs(ids, { signal: AbortSignal.timeout(STOP_MS) })) {
    // The stream ends when all of them are over.
  }
}

async function stop(dataDirectory: string, kind: DaemonKind): Promise<void> {
  const running = findRunning(dataDirectory, kind);
  if (running === undefined || (await stopProcess(running, STOP_MS))) return;
  process.kill(running.pid, 'SIGKILL');
}
