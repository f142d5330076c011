import type { Output } from './output.ts';

/** Silence for so long, then a line on stderr says what is going on. */
const SHOW_AFTER_MS = 1_000;
const REFRESH_MS = 200;

export interface Progress {
  /** What is going on now. */
  set(text: string): void;
  stop(): void;
}

/**
 * Says on stderr what a command is busy with, once it takes more than a second: on a terminal one line that is
 * rewritten and removed at the end, elsewhere a line whenever the text changes.
 */
export function startProgress(stderr: Output, text: string, { showAfterMs = SHOW_AFTER_MS } = {}): Progress {
  let current = text;
  let shown = '';
  const draw = () => {
    if (current === shown) return;
    shown = current;
    if (stderr.isTTY === true) stderr.write(`\r\u001b[K${current.slice(0, (stderr.columns ?? 80) - 1)}`);
    else stderr.write(`${current}\n`);
  };
  let refresh: NodeJS.Timeout | undefined;
  const first = setTimeout(() => {
    draw();
    refresh = setInterval(draw, REFRESH_MS).unref();
  }, showAfterMs).unref();
  return {
    set: (next) => {
      current = next;
    },
    stop: () => {
      clearTimeout(first);
      clearInterval(refresh);
      if (shown !== '' && stderr.isTTY === true) stderr.write('\r\u001b[K');
      shown = current;
    },
  };
}
