import { setTimeout as delay } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import {
  LogStream,
  type ShipLogsRequest,
  ShipLogsRequestSchema,
  type ShipLogsResponse,
  type ShippedChunk,
  ShippedChunkSchema,
} from '@galley/proto';
import type { Logger } from 'pino';
import { attemptIdFault, attemptKey } from '../journal/attempt-key.ts';
import { Backoff } from '../session/backoff.ts';
import { type ControlPlaneAddress, type Dialled, dialLogs, isServiceError } from '../session/connection.ts';
import { readChunk } from './chunk-reader.ts';
import type { OutputStream } from './log-stream.ts';

/** Bytes of one message, and bytes that may be sent without an ack. */
const MESSAGE_BYTES = 1024 * 1024;
const WINDOW_BYTES = 4 * 1024 * 1024;
const MESSAGE_CHUNKS = 1_000;
/** Without an ack for what was sent the connection counts as dead. */
const ACK_DEADLINE_MS = 30_000;
/** How soon a stream that is held to its rate is looked at again. */
const SLOW_MS = 500;
/** A store that asks for the same bytes so often in a row will never take them. */
const MAX_REFUSALS = 5;

interface Part {
  readonly stream: OutputStream;
  readonly from: number;
  readonly to: number;
}

interface SentMessage {
  readonly sequence: bigint;
  readonly parts: readonly Part[];
  readonly bytes: number;
  readonly sentAt: number;
}

export interface ShipperOptions {
  readonly plane: ControlPlaneAddress;
  readonly node: string;
  readonly account: string;
  readonly incarnation: string;
  readonly log: Logger;
  /** Of every stream that may have to be sent again after a reconnect. */
  readonly streams: () => Iterable<OutputStream>;
  readonly find: (key: string, stream: LogStream) => OutputStream | undefined;
  readonly onAcked: (stream: OutputStream) => void;
}

/**
 * Ships what jobs write on a connection of its own. Nothing is held in memory but what the window allows: after any trouble the
 * connection is made anew and everything from the last acked byte on is read from the files again.
 */
export class LogShipper {
  readonly #options: ShipperOptions;
  readonly #queue: OutputStream[] = [];
  readonly #closing = new AbortController();
  readonly #backoff = new Backoff();
  readonly #slow = new Set<NodeJS.Timeout>();
  #allowed = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;
  #wake = Promise.withResolvers<void>();

  constructor(options: ShipperOptions) {
    this.#options = options;
  }

  /** Logs go only to a control plane that the session has found to be ours. */
  allow(live: boolean): void {
    if (live) {
      this.#allowed.resolve();
      this.#running ??= this.#run();
    } else {
      this.#allowed = Promise.withResolvers<void>();
    }
  }

  /** This stream may have bytes to send. */
  offer(stream: OutputStream): void {
    if (stream.queued) return;
    stream.queued = true;
    this.#queue.push(stream);
    this.#wake.resolve();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#allowed.resolve();
    this.#wake.resolve();
    for (const timer of this.#slow) clearTimeout(timer);
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await this.#allowed.promise;
      if (signal.aborted) return;
      // No connection is held for nothing.
      if (this.#queue.length === 0) {
        await this.#sleep();
        continue;
      }
      const retryAfterMs = await this.#connection();
      await delay(retryAfterMs ?? this.#backoff.next(), undefined, { signal }).catch(() => undefined);
    }
  }

  /** One connection; resolves with the pause that the store asked for. */
  async #connection(): Promise<number | undefined> {
    const dialled = dialLogs(this.#options.plane);
    const connection = new ShipConnection(dialled, this.#options, {
      offer: (stream) => this.offer(stream),
      acked: () => {
        this.#backoff.reset();
        this.#wake.resolve();
      },
    });
    const { signal } = this.#closing;
    const abort = () => connection.fail(undefined);
    signal.addEventListener('abort', abort, { once: true });
    void connection.ended.then(() => this.#wake.resolve());
    try {
      while (connection.open) {
        const message = connection.writable ? await this.#nextMessage() : undefined;
        if (message === undefined) await this.#sleep();
        else if (connection.open) connection.send(message);
      }
      return await connection.ended;
    } finally {
      signal.removeEventListener('abort', abort);
      dialled.close();
      for (const stream of this.#options.streams()) {
        stream.sent = stream.acked;
        if (stream.pending > 0) this.offer(stream);
      }
    }
  }

  async #sleep(): Promise<void> {
    await this.#wake.promise;
    this.#wake = Promise.withResolvers<void>();
  }

  /** A chunk of each stream in turn, so that a flood waits behind everybody else's lines. */
  async #nextMessage(): Promise<Outgoing | undefined> {
    const chunks: ShippedChunk[] = [];
    const parts: Part[] = [];
    let bytes = 0;
    while (bytes < MESSAGE_BYTES && chunks.length < MESSAGE_CHUNKS) {
      const stream = this.#queue.shift();
      if (stream === undefined) break;
      stream.queued = false;
      const next = await readChunk(stream);
      if (next.kind === 'slow') this.#offerLater(stream);
      if (next.kind !== 'chunk') continue;
      const from = Number(next.chunk.offset);
      if (from !== stream.sent) {
        // The store asked for other bytes while these were read.
        this.offer(stream);
        continue;
      }
      stream.advance(next.bytes, next.paid);
      parts.push({ stream, from, to: stream.sent });
      const { id, jobNumber } = stream;
      chunks.push(create(ShippedChunkSchema, { id, jobNumber, chunk: next.chunk }));
      bytes += next.chunk.data.byteLength;
      if (stream.pending > 0) this.offer(stream);
    }
    return chunks.length === 0 ? undefined : { chunks, parts, bytes };
  }

  #offerLater(stream: OutputStream): void {
    const timer = setTimeout(() => {
      this.#slow.delete(timer);
      this.offer(stream);
    }, SLOW_MS);
    this.#slow.add(timer);
  }
}

interface Outgoing {
  readonly chunks: ShippedChunk[];
  readonly parts: readonly Part[];
  readonly bytes: number;
}

/** The window of one connection: what was sent and not acked. */
class ShipConnection {
  readonly ended: Promise<number | undefined>;
  readonly #dialled: Dialled<ShipLogsRequest, ShipLogsResponse>;
  readonly #options: ShipperOptions;
  readonly #hooks: { offer: (stream: OutputStream) => void; acked: () => void };
  readonly #end = Promise.withResolvers<number | undefined>();
  readonly #watch: NodeJS.Timeout;
  #sent: SentMessage[] = [];
  #sentBytes = 0;
  #sequence = 0n;
  #full = false;
  open = true;

  constructor(
    dialled: Dialled<ShipLogsRequest, ShipLogsResponse>,
    options: ShipperOptions,
    hooks: { offer: (stream: OutputStream) => void; acked: () => void },
  ) {
    this.#dialled = dialled;
    this.#options = options;
    this.#hooks = hooks;
    this.ended = this.#end.promise;
    const { stream } = dialled;
    stream.on('data', (response: ShipLogsResponse) => this.#onResponse(response));
    stream.on('error', (error: Error) => {
      options.log.debug(`shipping logs was interrupted: ${isServiceError(error) ? error.details : error.message}`);
      this.fail(undefined);
    });
    stream.on('end', () => this.fail(undefined));
    stream.on('drain', () => {
      this.#full = false;
      hooks.acked();
    });
    this.#watch = setInterval(() => {
      const oldest = this.#sent[0];
      if (oldest !== undefined && performance.now() - oldest.sentAt > ACK_DEADLINE_MS) this.fail(undefined);
    }, ACK_DEADLINE_MS / 4);
  }

  get writable(): boolean {
    return this.open && !this.#full && this.#sentBytes < WINDOW_BYTES;
  }

  send({ chunks, parts, bytes }: Outgoing): void {
    const sequence = ++this.#sequence;
    const { node, account, incarnation } = this.#options;
    const names = sequence === 1n ? { nodeName: node, account, incarnation } : {};
    this.#sent.push({ sequence, parts, bytes, sentAt: performance.now() });
    this.#sentBytes += bytes;
    this.#full = !this.#dialled.stream.write(create(ShipLogsRequestSchema, { ...names, sequence, chunks }));
  }

  /** Ends it; `retryAfterMs` is what the store asked for. */
  fail(retryAfterMs: number | undefined): void {
    this.open = false;
    clearInterval(this.#watch);
    this.#end.resolve(retryAfterMs);
  }

  #onResponse(response: ShipLogsResponse): void {
    if (!this.open) return;
    for (const { id, stream, fromOffset } of response.resends) {
      if (id === undefined || attemptIdFault(id) !== undefined) continue;
      const kind = stream === LogStream.UNSPECIFIED ? LogStream.OUTPUT : stream;
      const found = this.#options.find(attemptKey(id), kind);
      if (found !== undefined) this.#resend(found, Number(fromOffset));
    }
    while (this.#sent[0] !== undefined && this.#sent[0].sequence <= response.ackedSequence) {
      const { parts, bytes } = this.#sent[0];
      this.#sent.shift();
      this.#sentBytes -= bytes;
      for (const part of parts) this.#ack(part);
    }
    this.#hooks.acked();
    if (response.retryAfterMs > 0) this.fail(response.retryAfterMs);
  }

  /** Parts that do not join what is acked were refused: their bytes are sent again. */
  #ack({ stream, from, to }: Part): void {
    if (from > stream.acked || to <= stream.acked) return;
    stream.acked = to;
    stream.refusals = 0;
    this.#options.onAcked(stream);
  }

  #resend(stream: OutputStream, fromOffset: number): void {
    if (fromOffset === stream.acked) stream.refusals++;
    else stream.refusals = 0;
    stream.acked = fromOffset;
    stream.sent = fromOffset;
    if (stream.refusals >= MAX_REFUSALS) {
      const { key, stream: kind } = stream;
      this.#options.log.error({ attempt: key, stream: kind }, `the log store refuses bytes from ${fromOffset}`);
      stream.acked = stream.sent = stream.final ?? stream.size;
    }
    this.#options.onAcked(stream);
    if (stream.pending > 0) this.#hooks.offer(stream);
  }
}
