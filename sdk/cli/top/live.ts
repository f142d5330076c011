import { setTimeout as sleep } from 'node:timers/promises';
import type { GalleyClient } from '../../client.ts';
import { GalleyError } from '../../errors.ts';
import type { JobSummary, Node } from '../../types.ts';
import type { Session } from '../host.ts';
import { drawScreen, type Sample } from './screen.ts';
import { Throughput } from './throughput.ts';

/** Nodes and running jobs that are asked for, whatever the size of the cluster. */
const MAX_ROWS = 200;
/** Between two tries to hear events. */
const EVENTS_RETRY_MS = 1_000;

const ENTER_SCREEN = '\u001b[?1049h\u001b[?25l';
const LEAVE_SCREEN = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';

/** What is there now. */
export async function takeSample(client: GalleyClient): Promise<Sample> {
  const [status, nodes, running] = await Promise.all([
    client.getClusterStatus(),
    atMost<Node>(client.listNodes()),
    atMost<JobSummary>(client.listJobs({ states: ['RUNNING'], pageSize: MAX_ROWS })),
  ]);
  return { atMs: Date.now(), address: client.address, status, nodes, running };
}

async function atMost<T>(items: AsyncIterable<T>): Promise<T[]> {
  const taken: T[] = [];
  for await (const item of items) {
    taken.push(item);
    if (taken.length === MAX_ROWS) break;
  }
  return taken;
}

/** Draws the cluster again and again until the signal; the terminal is then as it was. */
export async function runLive(
  session: Session,
  client: GalleyClient,
  intervalMs: number,
  signal: AbortSignal,
): Promise<void> {
  const throughput = new Throughput(performance.now());
  const ended = new AbortController();
  const listening = listen(client, throughput, AbortSignal.any([signal, ended.signal]));
  session.stdout.write(ENTER_SCREEN);
  try {
    for (let sample: Sample | undefined; !signal.aborted; ) {
      let trouble = '';
      try {
        sample = await takeSample(client);
      } catch (error) {
        // What was seen last stays, and says how old it is.
        if (!(error instanceof GalleyError) || !isPassing(error)) throw error;
        trouble = `${client.address} does not answer: ${error.code}`;
      }
      if (signal.aborted) break;
      draw(session, sample, throughput, trouble);
      await sleep(intervalMs, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    session.stdout.write(LEAVE_SCREEN);
    ended.abort();
    await listening;
  }
}

function isPassing({ code }: GalleyError): boolean {
  return code === 'UNAVAILABLE' || code === 'DEADLINE_EXCEEDED' || code === 'RESOURCE_EXHAUSTED';
}

function draw(session: Session, sample: Sample | undefined, of: Throughput, trouble: string): void {
  const { stdout, colours } = session;
  const { columns: width = 80, rows: height = 24 } = stdout;
  const said = trouble === '' ? [] : [colours('red', trouble)];
  const options = { width, height: height - 1 - said.length, colours, throughput: { of, nowMs: performance.now() } };
  const lines = [...said, ...(sample === undefined ? [] : drawScreen(sample, options))];
  stdout.write(`${HOME}${lines.map((line) => `${line}${CLEAR_LINE}\n`).join('')}${CLEAR_BELOW}`);
}

/** Counts what ends. Events that were missed are not counted: it is a rate, not a record. */
async function listen(client: GalleyClient, throughput: Throughput, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const event of client.events({ signal })) throughput.add(event, performance.now());
    } catch {
      await sleep(EVENTS_RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}
