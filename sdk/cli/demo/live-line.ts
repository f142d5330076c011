import type { Output } from '../output.ts';

/** One line that changes while something goes on; elsewhere than on a terminal, a line per finished step. */
export interface LiveLine {
  set(text: string): void;
  /** A step is over: this stays. */
  done(text: string): void;
  clear(): void;
}

export function liveLine(stderr: Output): LiveLine {
  const terminal = stderr.isTTY === true;
  const erase = () => {
    if (terminal) stderr.write('\r\u001b[K');
  };
  return {
    set: (text) => {
      if (!terminal) return;
      erase();
      stderr.write(text.slice(0, (stderr.columns ?? 80) - 1));
    },
    done: (text) => {
      erase();
      stderr.write(`${text}\n`);
    },
    clear: erase,
  };
}
