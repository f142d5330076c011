/** What waits to be sent, in order and bounded: whoever fills it never waits. */
export class Outbox<T> {
  readonly #maxItems: number;
  readonly #maxBytes: number;
  #items: { readonly item: T; readonly bytes: number }[] = [];
  #bytes = 0;
  #end: { readonly error: Error | undefined } | undefined;
  #wake: (() => void) | undefined;
  #roomWaiters: (() => void)[] = [];

  constructor(limits: { maxItems: number; maxBytes: number }) {
    this.#maxItems = limits.maxItems;
    this.#maxBytes = limits.maxBytes;
  }

  /** False when there is no room: the reader is too slow. After the end everything is dropped. */
  push(item: T, bytes = 0): boolean {
    if (this.#end !== undefined) return true;
    const empty = this.#items.length === 0;
    if (!empty && (this.#items.length >= this.#maxItems || this.#bytes + bytes > this.#maxBytes)) return false;
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
    this.#wake?.();
    return true;
  }

  /** Resolves when half of the bytes are free, or when it has ended: for what may wait. */
  async room(): Promise<void> {
    while (this.#end === undefined && this.#bytes > this.#maxBytes / 2) {
      await new Promise<void>((resolve) => this.#roomWaiters.push(resolve));
    }
  }

  /** What was pushed is still delivered, and then the iteration ends. */
  end(): void {
    this.#finish(undefined);
  }

  /** The iteration throws the error; what waits is dropped. False: it had ended already. */
  fail(error: Error): boolean {
    const first = this.#finish(error);
    if (first) this.#items = [];
    return first;
  }

  #finish(error: Error | undefined): boolean {
    if (this.#end !== undefined) return false;
    this.#end = { error };
    this.#wake?.();
    this.#tellRoom();
    return true;
  }

  #tellRoom(): void {
    for (const resolve of this.#roomWaiters.splice(0)) resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (;;) {
      const batch = this.#items;
      if (batch.length > 0) {
        this.#items = [];
        for (const { item, bytes } of batch) {
          // Room is made as items are taken, and an error is not held up by a batch that is being read.
          this.#bytes -= bytes;
          this.#tellRoom();
          if (this.#end?.error !== undefined) throw this.#end.error;
          yield item;
        }
      } else if (this.#end !== undefined) {
        if (this.#end.error !== undefined) throw this.#end.error;
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    }
  }
}
