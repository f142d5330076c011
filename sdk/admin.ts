import {
  AdminService,
  BackupResponseSchema,
  GetClusterStatusResponseSchema,
  ResumeSchedulingResponseSchema,
} from '@galley/proto';
import { toPlain } from './plain.ts';
import type { RequestOptions, Transport } from './transport.ts';
import type { ClusterStatus } from './types.ts';

export function adminMethods(transport: Transport) {
  const service = transport.service(AdminService);

  async function getClusterStatus(options?: RequestOptions): Promise<ClusterStatus> {
    const answer = await transport.call('safe', (call) => service.getClusterStatus({}, call), options);
    return toPlain(GetClusterStatusResponseSchema, answer);
  }

  /** Nothing is placed until it is resumed. What runs goes on. */
  async function pauseScheduling(reason = '', options?: RequestOptions): Promise<void> {
    await transport.call('safe', (call) => service.pauseScheduling({ reason }, call), options);
  }

  /** Answers what still holds scheduling back, if anything. */
  async function resumeScheduling(
    options: RequestOptions & { readonly acceptLoss?: boolean; readonly waiveMissingNodes?: boolean } = {},
  ) {
    const { acceptLoss = false, waiveMissingNodes = false } = options;
    const request = { acceptLoss, waiveMissingNodes };
    const repeatability = acceptLoss ? 'once' : 'safe';
    const answer = await transport.call(repeatability, (call) => service.resumeScheduling(request, call), options);
    return toPlain(ResumeSchedulingResponseSchema, answer);
  }

  /** The pieces of a consistent copy of the control plane's state, in order; the last one carries its position. */
  async function* backup(options: RequestOptions = {}) {
    for await (const piece of transport.stream((call) => service.backup({}, call), options.signal)) {
      yield toPlain(BackupResponseSchema, piece);
    }
  }

  /** Ends the control plane after what it accepted is durable. Jobs go on. */
  async function shutdown(options?: RequestOptions): Promise<void> {
    await transport.call('once', (call) => service.shutdown({}, call), options);
  }

  return { getClusterStatus, pauseScheduling, resumeScheduling, backup, shutdown };
}
