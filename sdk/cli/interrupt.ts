import { EXIT_SIGNAL_BASE, SIGNAL_NUMBERS } from './exit.ts';
import type { Session } from './host.ts';
import { note } from './output.ts';

/** Thrown out of a body that a signal ended; carries the exit code. */
class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/**
 * Runs `body` until it ends or a signal arrives. Then `whatRuns` says on stderr what goes on without this command, and
 * the exit code is 128 + the signal's number.
 */
export async function untilInterrupted(
  session: Session,
  whatRuns: () => readonly string[],
  body: (signal: AbortSignal) => Promise<number | undefined>,
): Promise<number | undefined> {
  const controller = new AbortController();
  let received: keyof typeof SIGNAL_NUMBERS | undefined;
  const listeners = Object.keys(SIGNAL_NUMBERS).map((name) => {
    const signal = name as keyof typeof SIGNAL_NUMBERS;
    const listener = () => {
      received = signal;
      // A second signal finds no listener, and ends the process at once.
      stopListening();
      controller.abort(new Interrupted(signal));
    };
    session.signals.on(signal, listener);
    return [signal, listener] as const;
  });
  const stopListening = () => {
    for (const [signal, listener] of listeners) session.signals.off(signal, listener);
  };
  try {
    const code = await body(controller.signal);
    return received === undefined ? code : interrupted(session, whatRuns, received);
  } catch (error) {
    if (received === undefined) throw error;
    return interrupted(session, whatRuns, received);
  } finally {
    stopListening();
  }
}

function interrupted(session: Session, whatRuns: () => readonly string[], signal: keyof typeof SIGNAL_NUMBERS): number {
  // The terminal has echoed ^C; begin on a line of our own.
  if (session.stderr.isTTY === true) note(session, '');
  for (const line of whatRuns()) note(session, line);
  return EXIT_SIGNAL_BASE + SIGNAL_NUMBERS[signal];
}
