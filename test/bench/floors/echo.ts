import { fileURLToPath } from 'node:url';
import { CLIENT_CHANNEL_OPTIONS } from '@galley/proto';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { ProbedProcess } from '../system/probed-process.ts';
import { ECHO } from './echo-method.ts';

const PROGRAM = fileURLToPath(new URL('./echo-server.ts', import.meta.url));
const READY_MS = 30_000;
const CALL_MS = 30_000;

/** A raw grpc-js server in a process of its own, and a client of it: same token, same options, same deadline as ours. */
export class Echo {
  readonly #server: ProbedProcess;
  readonly #client: Client;
  readonly #token: string;

  private constructor(server: ProbedProcess, client: Client, token: string) {
    this.#server = server;
    this.#client = client;
    this.#token = token;
  }

  static async start(token: string): Promise<Echo> {
    const server = new ProbedProcess('the echo server', [PROGRAM, token]);
    const address = await server.says(/^echoes on (\S+)$/, READY_MS);
    return new Echo(server, new Client(address, credentials.createInsecure(), CLIENT_CHANNEL_OPTIONS), token);
  }

  send(message: Buffer): Promise<Buffer> {
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${this.#token}`);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        ECHO.path,
        ECHO.requestSerialize,
        ECHO.responseDeserialize,
        message,
        metadata,
        { deadline: Date.now() + CALL_MS },
        (error, answer) => {
          if (error !== null) reject(error);
          else if (answer?.length !== message.length) reject(new Error('the echo is not what was sent'));
          else resolve(answer);
        },
      );
    });
  }

  async close(): Promise<void> {
    this.#client.close();
    await this.#server.stop();
  }
}
