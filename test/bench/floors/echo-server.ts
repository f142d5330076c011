/**
 * What grpc-js gives without Galley: a server that checks the same token and answers with the message that it got.
 * `node echo-server.ts <token>`; prints its address.
 */

import { TokenAuthenticator } from '@galley/control-plane/security/authenticator.ts';
import { SERVER_OPTIONS } from '@galley/proto';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import { ECHO } from './echo-method.ts';

const authenticator = new TokenAuthenticator(process.argv[2] ?? '');
const server = new Server(SERVER_OPTIONS);

server.addService(
  { echo: ECHO },
  {
    echo: (
      call: { readonly request: Buffer; readonly metadata: { get(key: string): unknown[] } },
      callback: (error: { code: status } | null, answer?: Buffer) => void,
    ) => {
      const [authorization] = call.metadata.get('authorization');
      const known = authenticator.authenticate({ authorization: String(authorization) });
      if (known === undefined) callback({ code: status.UNAUTHENTICATED });
      else callback(null, call.request);
    },
  },
);

server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  console.log(`echoes on 127.0.0.1:${port}`);
});
