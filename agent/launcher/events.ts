import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { execa } from 'execa';

/** A line is a letter, a blank and a key; what is longer is nobody's of ours. */
const MAXIMUM_LINE = 512;

export type Hint = { readonly kind: 'started' | 'ended'; readonly key: string };

/**
 * The named pipe through which supervisors wake the agent. What comes out is a hint to go and read an attempt's files,
 * never a fact: a process of the user's could write here between becoming the user and becoming the job. Supervisors
 * open it for reading and writing, so that nobody is killed for writing while no agent listens.
 */
export class HintPipe {
  readonly #socket: Socket;
  #rest = '';

  private constructor(descriptor: number, onHint: (hint: Hint) => void) {
    this.#socket = new Socket({ fd: descriptor, readable: true, writable: false });
    this.#socket.setEncoding('latin1');
    this.#socket.on('data', (chunk) => this.#take(String(chunk), onHint));
    this.#socket.on('error', () => this.#socket.destroy());
  }

  static async open(path: string, onHint: (hint: Hint) => void): Promise<HintPipe> {
    if (!existsSync(path)) await execa('mkfifo', ['-m', '600', '--', path], { stdin: 'ignore' });
    const descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    try {
      return new HintPipe(descriptor, onHint);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: string, onHint: (hint: Hint) => void): void {
    const lines = (this.#rest + chunk).split('\n');
    this.#rest = (lines.pop() ?? '').slice(-MAXIMUM_LINE);
    for (const line of lines) {
      const kind = line.startsWith('s ') ? 'started' : line.startsWith('e ') ? 'ended' : undefined;
      if (kind !== undefined) onHint({ kind, key: line.slice(2) });
    }
  }
}
