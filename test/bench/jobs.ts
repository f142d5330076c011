import type { JobRequest } from '@galley/sdk';

/** Of a job's specification as it is encoded: the size that the benchmarks quote. */
export const SPEC_BYTES = 1024;
/** What the fields beside the command's last word take in the encoding: id, name, resources, lengths. */
const OTHER_BYTES = 96;

const FILLING = 'abcdefghijklmnopqrstuvwxyz0123456789-_./'.repeat(32);

let made = 0;

/** A job of `SPEC_BYTES` whose command no other job has. */
export function distinctJob(): JobRequest {
  const number = String(made++).padStart(12, '0');
  const command = ['/opt/pipeline/bin/align', '--sample', number, '--reads'];
  const taken = command.reduce((sum, word) => sum + word.length + 2, OTHER_BYTES);
  const from = made % FILLING.length;
  const filling = FILLING.slice(from) + FILLING.slice(0, from);
  return {
    jobName: 'align',
    command: [...command, filling.slice(0, SPEC_BYTES - taken)],
    resources: { vcpus: 1, memoryBytes: 512 * 1024 * 1024 },
  };
}
