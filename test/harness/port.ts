import { createServer } from 'node:net';

/**
 * Below the range from which the kernel takes the ports of outgoing connections: a client that tries again and again while
 * nobody listens must not be able to get that very port for its own end.
 */
const FIRST_PORT = 20_000;
const PORTS = 12_000;
const TRIES = 50;

/**
 * A port of the loopback address that was free a moment ago, and the next one too (for HTTP); a restarted control plane
 * can have them again.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES; tries++) {
    const port = FIRST_PORT + 2 * Math.floor((Math.random() * PORTS) / 2);
    if ((await isFree(port)) && (await isFree(port + 1))) return port;
  }
  throw new Error(`no free port in ${TRIES} tries from ${FIRST_PORT} to ${FIRST_PORT + PORTS - 1}`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const free = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
  if (free) await new Promise((resolve) => server.close(resolve));
  return free;
}
