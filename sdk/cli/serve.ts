import { EXIT_SIGNAL_BASE, SIGNAL_NUMBERS } from './exit.ts';
import type { Session } from './host.ts';

interface Running {
  close(): Promise<void>;
  readonly closed: Promise<void>;
}

/**
 * Keeps a server or agent until it ends by itself or a signal asks it to end gracefully. SIGTERM is the ordinary way to
 * stop a service, so it exits 0; SIGINT is somebody's Ctrl-C.
 */
export async function serveUntilSignal(session: Session, running: Running): Promise<number> {
  let received: 'SIGINT' | 'SIGTERM' | undefined;
  const asked = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      const listener = () => {
        session.signals.off(signal, listener);
        received ??= signal;
        resolve();
      };
      session.signals.on(signal, listener);
    }
  });
  await Promise.race([asked, running.closed]);
  if (received !== undefined) await running.close();
  await running.closed;
  return received === 'SIGINT' ? EXIT_SIGNAL_BASE + SIGNAL_NUMBERS.SIGINT : 0;
}
