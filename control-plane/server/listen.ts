import { createServer } from 'node:net';
import { formatAddress, isLoopback } from '../security/listen-address.ts';
import { isErrno } from '../store/errno.ts';
import { ServerError } from './errors.ts';

/** Refuses an address that others can reach, unless somebody said that this is meant: the token would travel in clear. */
export function requireLoopback(host: string, insecureListen: boolean): void {
  if (isLoopback(host) || insecureListen) return;
  throw new ServerError(
    'INSECURE_LISTEN',
    `${host} can be reached from other machines, and connections are not encrypted yet: listen on 127.0.0.1, or say ` +
      '--insecure-listen if the network is trusted.',
  );
}

/** Whether the address can be had, told in a sentence; what gRPC says of it does not name the cause. */
export async function probeAddress(host: string, port: number): Promise<void> {
  const address = formatAddress(host, port);
  await new Promise<void>((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => reject(addressError(error, address)));
    server.listen({ host: host.replace(/^\[(.*)\]$/, '$1'), port, exclusive: true }, () => {
      server.close(() => resolve());
    });
  });
}

function addressError(cause: Error, address: string): ServerError {
  if (isErrno(cause, 'EADDRINUSE')) {
    return new ServerError(
      'ADDRESS_IN_USE',
      `${address} is in use by another program. Give another --port (or --http-port), or stop the other.`,
      { cause },
    );
  }
  return new ServerError('ADDRESS', `cannot listen on ${address}: ${cause.message}`, { cause });
}
