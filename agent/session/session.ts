import { setTimeout as delay } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { AttemptReportSchema, type ControlHello } from '@galley/proto';
import { Backoff } from './backoff.ts';
import { dialControl, isServiceError } from './connection.ts';
import { AgentError, fatalError } from './errors.ts';
import { LiveSession } from './live-session.ts';
import type { SessionOptions } from './options.ts';
import { PROTOCOL } from './protocol.ts';
import { ReportQueue } from './report-queue.ts';

/** Between warnings that the control plane is still away. */
const TELL_AGAIN_MS = 60_000;
/** An attempt that is accepted, started and over within this is reported once: each report costs both sides as much again. */
const PROGRESS_DELAY_MS = 50;

/**
 * The agent's side of the control stream, over and over until it is closed:
 *
 * - *dialling*: a new client; the hello is sent. → live on ControlHello, → waiting on an error or after `helloMs`.
 * - *live*: placements and stops come in, reports and heartbeats go out. → waiting on an error, the stream's end, or
 *   `silentMs` without a word; → dialling at once when the complete history is asked for.
 * - *waiting*: backs off, jittered. → dialling.
 *
 * It ends with an {@link AgentError} when trying again is of no use. What runs, runs on in every state.
 */
export class Session {
  readonly #options: SessionOptions;
  readonly #queue = new ReportQueue();
  readonly #closing = new AbortController();
  readonly #backoff = new Backoff();
  #live: LiveSession | undefined;
  #ripening: NodeJS.Timeout | undefined;
  #stopping = false;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(options: SessionOptions) {
    this.#options = options;
    options.attempts.on('report', (key, urgent) => {
      if (urgent) {
        this.#queue.add(key);
        this.#live?.flush();
      } else {
        this.#queue.addLater(key);
        this.#ripening ??= setTimeout(() => this.#ripen(), PROGRESS_DELAY_MS);
      }
    });
    options.attempts.on('remembered', (report) => {
      this.#queue.addRemembered(create(AttemptReportSchema, report));
      this.#live?.flush();
    });
  }

  /** Tells the control plane what changed about this host. */
  inventoryChanged(): void {
    this.#live?.sendInventory();
  }

  /** Resolves when closed; rejects when trying again is of no use. */
  async run(): Promise<void> {
    let completeHistory = false;
    while (!this.#stopping) {
      const end = await this.#connect(completeHistory);
      completeHistory = end.completeHistory;
      if (this.#stopping) return;
      if (end.live) this.#backoff.reset();
      if (completeHistory) continue;
      const waitMs = this.#backoff.next();
      this.#tellOfTrouble(end, waitMs);
      await delay(waitMs, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    }
  }

  /** Says goodbye, for which the control plane has a moment; jobs go on. */
  async close(): Promise<void> {
    this.#stopping = true;
    this.#ripen();
    await this.#live?.goodbye();
    this.#closing.abort();
  }

  #ripen(): void {
    clearTimeout(this.#ripening);
    this.#ripening = undefined;
    this.#queue.ripen();
    this.#live?.flush();
  }

  /** A control plane may be away for days: it is said when that begins, and then once in a while. */
  #tellOfTrouble(end: SessionEnd, waitMs: number): void {
    const now = performance.now();
    const text = `${end.why}; trying again in ${(waitMs / 1000).toFixed(1)} s. Jobs go on`;
    if (!end.live && now - this.#toldAt < TELL_AGAIN_MS) {
      this.#options.log.debug(text);
      return;
    }
    this.#toldAt = now;
    this.#options.log.warn(text);
  }

  async #connect(completeHistory: boolean): Promise<SessionEnd> {
    const { plane, log } = this.#options;
    const dialled = dialControl(plane);
    const live = new LiveSession(this.#options, dialled, this.#queue);
    const abort = () => dialled.close();
    this.#closing.signal.addEventListener('abort', abort, { once: true });
    try {
      const hello = await live.greet(completeHistory);
      const again = await this.#accept(hello, completeHistory);
      if (again) return { live: true, completeHistory: true, why: 'the complete history was asked for' };
      log.info({ address: plane.address }, 'connected to the control plane');
      this.#live = live;
      this.#options.onLive(true);
      return { live: true, completeHistory: false, why: await live.run(hello) };
    } catch (error) {
      if (error instanceof AgentError) throw error;
      if (isServiceError(error)) {
        const fatal = fatalError(error, plane.address, this.#live !== undefined);
        if (fatal !== undefined) throw fatal;
      }
      return { live: this.#live !== undefined, completeHistory: false, why: describe(error, plane.address) };
    } finally {
      if (this.#live !== undefined) this.#options.onLive(false);
      this.#live = undefined;
      this.#closing.signal.removeEventListener('abort', abort);
      live.end();
    }
  }

  /** Checks the answer. True: connect again, with the complete history. */
  async #accept(hello: ControlHello, complete: boolean): Promise<boolean> {
    const { journal, plane } = this.#options;
    if (journal.clusterId !== '' && hello.clusterId !== journal.clusterId) {
      throw new AgentError(
        'OTHER_CLUSTER',
        `The control plane at ${plane.address} is cluster ${hello.clusterId}, and this agent's state directory belongs to ` +
          `${journal.clusterId}: use the right address, or another state directory.`,
      );
    }
    if (hello.protocol < PROTOCOL.min || hello.protocol > PROTOCOL.max) {
      throw new AgentError(
        'PROTOCOL_MISMATCH',
        `The control plane at ${plane.address} speaks version ${hello.protocol} of the agent protocol, and this agent ` +
          `${PROTOCOL.min} to ${PROTOCOL.max}: upgrade the older of the two.`,
      );
    }
    const epoch = hello.position?.epoch ?? 0n;
    const rose = journal.epoch !== 0n && epoch > journal.epoch;
    if (!complete && (hello.sendCompleteHistory || rose)) return true;
    if (journal.clusterId === '') await journal.append([{ kind: 'cluster', clusterId: hello.clusterId }]);
    if (epoch > journal.epoch) await journal.append([{ kind: 'epoch', epoch }]);
    journal.witnessed(hello.position);
    return false;
  }
}

interface SessionEnd {
  /** The control plane had answered. */
  readonly live: boolean;
  readonly completeHistory: boolean;
  readonly why: string;
}

function describe(error: unknown, address: string): string {
  if (isServiceError(error)) return `The connection to the control plane at ${address} broke: ${error.details}`;
  const text = error instanceof Error ? error.message : String(error);
  return `The connection to the control plane at ${address} broke: ${text}`;
}
