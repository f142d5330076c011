import type { MessageInitShape } from '@bufbuild/protobuf';
import type { StateCountsSchema } from '@galley/proto';

/** Jobs by state, from a list in the order of the states from SUBMITTED. */
export function toStateCounts(counts: readonly number[]): MessageInitShape<typeof StateCountsSchema> {
  const [submitted, pending, runnable, starting, running, succeeded, failed] = counts.map(BigInt);
  const known = { submitted, pending, runnable, starting, running, succeeded, failed };
  return Object.fromEntries(Object.entries(known).filter(([, count]) => count !== undefined));
}
