import { create } from '@bufbuild/protobuf';
import {
  AgentService,
  CLIENT_CHANNEL_OPTIONS,
  type ConnectRequest,
  ConnectRequestSchema,
  type ConnectResponse,
  type ShipLogsRequest,
  type ShipLogsResponse,
  serviceClient,
} from '@galley/proto';
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';

/** Where the control plane is, and what this agent shows it. */
export interface ControlPlaneAddress {
  /** `host:port`. */
  readonly address: string;
  readonly token: string;
}

/** A client of its own for one stream: rebuilt with each connect, so that no state of a broken one is kept. */
export interface Dialled<Request, Response> {
  readonly stream: ClientDuplexStream<Request, Response>;
  /** Ends the stream and the connection at once. */
  close(): void;
}

// Two channels with the same target and options would share one connection, and logs would hold up control.
const CONTROL_OPTIONS = { ...CLIENT_CHANNEL_OPTIONS, 'grpc.use_local_subchannel_pool': 1 } as const;

function dial(plane: ControlPlaneAddress) {
  const client = new Client(plane.address, credentials.createInsecure(), CONTROL_OPTIONS);
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${plane.token}`);
  return { client, metadata, service: serviceClient(AgentService, client) };
}

export function dialControl(plane: ControlPlaneAddress): Dialled<ConnectRequest, ConnectResponse> {
  const { client, metadata, service } = dial(plane);
  return dialled(client, service.connect({ metadata }));
}

export function dialLogs(plane: ControlPlaneAddress): Dialled<ShipLogsRequest, ShipLogsResponse> {
  const { client, metadata, service } = dial(plane);
  return dialled(client, service.shipLogs({ metadata }));
}

function dialled<Request, Response>(
  client: Client,
  stream: ClientDuplexStream<Request, Response>,
): Dialled<Request, Response> {
  return {
    stream,
    close() {
      stream.on('error', () => undefined);
      stream.cancel();
      client.close();
    },
  };
}

/** Sends one message of the control stream; false when the stream is full and wants a `drain` first. */
export function send(
  stream: ClientDuplexStream<ConnectRequest, ConnectResponse>,
  message: ConnectRequest['message'],
): boolean {
  return stream.write(create(ConnectRequestSchema, { message }));
}

export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error;
}
