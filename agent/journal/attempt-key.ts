import { create } from '@bufbuild/protobuf';
import { type AttemptId, AttemptIdSchema } from '@galley/proto';

/**
 * Names an attempt inside the agent: `<job uuid>.<child index>.<attempt>`, `-1` for a job that is no child. It is safe as
 * a file name, and unique for ever.
 */
export type AttemptKey = string;

const KEY = /^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.(-?\d{1,10})\.(\d{1,10})$/;

/** The canonical text of the 16 bytes of a UUID. */
export function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export function attemptKey(id: AttemptId): AttemptKey {
  return `${uuidText(id.jobId)}.${id.childIndex}.${id.attempt}`;
}

/** Undefined for a text that is no key, such as a stray file in the attempts directory. */
export function parseAttemptKey(key: AttemptKey): AttemptId | undefined {
  const match = KEY.exec(key);
  if (match === null) return undefined;
  const jobId = new Uint8Array(Buffer.from((match[1] ?? '').replaceAll('-', ''), 'hex'));
  return create(AttemptIdSchema, { jobId, childIndex: Number(match[2]), attempt: Number(match[3]) });
}

/** Why this id cannot name an attempt, or undefined. */
export function attemptIdFault(id: AttemptId | undefined): string | undefined {
  if (id === undefined) return 'id: required';
  if (id.jobId.byteLength !== 16) return `id.job_id: 16 bytes, got ${id.jobId.byteLength}`;
  if (id.childIndex < -1) return `id.child_index: -1 or more, got ${id.childIndex}`;
  if (id.attempt < 1) return `id.attempt: 1 or more, got ${id.attempt}`;
  return undefined;
}
