import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { GalleyClient } from '@galley/sdk';
import { Child } from '../harness/child.ts';
import { wholeLogOf } from '../harness/cluster.ts';
import { clearLeftovers } from '../harness/leftovers.ts';
import { makePlace, type Place, textOf } from '../harness/place.ts';
import type { Random } from '../harness/random.ts';
import { eventually } from '../harness/wait.ts';
import { Ledger, type LedgerEntry, type LedgerRequest } from './ledger.ts';
import { untilCut } from './load.ts';
import type { Report } from './report.ts';
import { between, cutAfter } from './round.ts';
import { PoweredMachine, type Site } from './site.ts';

const NODE = 'outside';
const CUTS = 2;
/** Submits are faster than jobs: at any of these acknowledgements jobs start, run, end and ship their logs. */
const FEWEST_JOBS = 30;
const MOST_JOBS = 90;
const SUBMITTERS = 3;
const LINES = 60;
const LONGEST_CALM_MS = 180_000;

/**
 * Jobs run outside, on an agent whose power stays. Whatever was on its way when the control plane's power went, each job
 * that was acknowledged has run once, with the end and the log that it had: judged from files that the jobs wrote.
 */
export async function runWithAgent(site: Site, report: Report, random: Random): Promise<void> {
  const place = makePlace();
  const ledger = new Ledger();
  await using cleaning = new AsyncDisposableStack();
  cleaning.defer(() => place.remove());
  const machine = cleaning.use(await PoweredMachine.create(site, 'with-agent'));
  await machine.powerOn();
  cleaning.defer(() => clearLeftovers(place.base));
  const agent = spawnAgent(machine, place);
  cleaning.defer(async () => {
    await agent.end('SIGKILL');
  });
  await agent.says(/node \S+ serves/);
  await nodeReady(machine);
  for (let cut = 1; cut <= CUTS; cut++) {
    await cutAfter(machine, ledger, between(random, FEWEST_JOBS, MOST_JOBS), async (client) => {
      await Promise.all(
        Array.from({ length: SUBMITTERS }, () =>
          untilCut(client, async (galley) => {
            const request = newRequest(place.shared);
            ledger.submitting([request], false);
            ledger.submitted(request.jobId, (await galley.submitJob(request)).number);
          }),
        ),
      );
    });
    await machine.powerOn();
  }
  using galley = machine.connect();
  const problems = await judgeRuns(galley, ledger, place);
  report.check(`with an agent outside: ${ledger.ids.length} jobs through ${CUTS} power cuts, each once, logs whole`, [
    ...problems,
    ...(problems.length === 0 ? [] : agent.said.split('\n')),
  ]);
}

function spawnAgent(machine: PoweredMachine, place: Place): Child {
  const directories = ['--data-dir', join(place.base, 'data'), '--state-dir', join(place.base, 'agent')];
  return new Child(
    `agent ${NODE}`,
    ['agent', '--name', NODE, '--allow-unlimited', '--address', machine.address, ...directories],
    { ...place.environment, GALLEY_TOKEN: machine.token },
  );
}

async function nodeReady(machine: PoweredMachine): Promise<void> {
  using galley = machine.connect();
  await eventually('the node is ready', async () => {
    for await (const { connected, state } of galley.listNodes()) if (connected && state === 'READY') return true;
    return false;
  });
}

/** Leaves one line in a file of its own for every time that it runs, and a log of known content. */
function newRequest(shared: string): LedgerRequest {
  const jobId = randomUUID();
  const script = `echo "run $GALLEY_ATTEMPT" >>"$1/$2"; i=0; while [ $i -lt ${LINES} ]; do echo "$2 $i"; i=$((i+1)); done`;
  const { username } = userInfo();
  return {
    jobId,
    jobName: 'outside',
    command: ['sh', '-c', script, 'sh', shared, jobId],
    resources: { vcpus: 0.1, memoryBytes: 32 * 1024 * 1024, pids: 16 },
    // An agent that is not root takes the work of its own account alone.
    ...(username === 'root' ? {} : { user: username }),
  };
}

async function judgeRuns(galley: GalleyClient, ledger: Ledger, place: Place): Promise<string[]> {
  const there = (await galley.describeJobs(ledger.ids)).map(({ summary }) => summary.jobId);
  const calm = AbortSignal.timeout(LONGEST_CALM_MS);
  const ended = new Set<string>();
  for await (const { jobId, state } of galley.watchJobs(there, { signal: calm })) {
    if (state === 'SUCCEEDED' || state === 'FAILED') ended.add(jobId);
    if (ended.size === there.length) break;
  }
  const problems: string[] = [];
  for (const entry of ledger.entries) {
    const { jobId } = entry.request;
    problems.push(...(ended.has(jobId) ? await judgeRun(galley, entry, place) : judgeAbsent(entry, place)));
  }
  for (const name of readdirSync(place.shared)) {
    if (ledger.get(name) === undefined) problems.push(`${name} ran, and nobody submitted it`);
  }
  return problems;
}

async function judgeRun(galley: GalleyClient, { request, number }: LedgerEntry, place: Place): Promise<string[]> {
  const { jobId } = request;
  const { summary } = await galley.getJob(jobId);
  const { state, exitCode, attempts } = summary;
  const problems: string[] = [];
  if (number !== undefined && summary.number !== number) problems.push(`is ${summary.number} and was ${number}`);
  if (state !== 'SUCCEEDED' || exitCode !== 0 || attempts !== 1) {
    problems.push(`is ${state} with exit code ${exitCode} after ${attempts} attempts`);
  }
  const runs = textOf(join(place.shared, jobId));
  if (runs !== 'run 1\n') problems.push(`left ${JSON.stringify(runs)} in its file`);
  const log = await wholeLogOf(galley, jobId);
  const expected = Array.from({ length: LINES }, (_, line) => `${jobId} ${line}\n`).join('');
  if (log !== expected) problems.push(`has a log of ${log.length} characters instead of ${expected.length}`);
  return problems.map((problem) => `${jobId} ${problem}`);
}

/** Nobody was told that it is accepted, and nothing of it ever ran. */
function judgeAbsent({ request: { jobId }, number }: LedgerEntry, place: Place): string[] {
  const runs = textOf(join(place.shared, jobId));
  return [
    ...(number === undefined ? [] : [`${jobId} was acknowledged as ${number} and is gone`]),
    ...(runs === '' ? [] : [`${jobId} is gone, and ran: ${runs}`]),
  ];
}
