import { commandLine } from './benches/command-line.ts';
import { firstInstruction } from './benches/first-instruction.ts';
import { queued } from './benches/queued.ts';
import { submitBatched } from './benches/submit-batched.ts';
import { submitSingle } from './benches/submit-single.ts';
import { trueJobs } from './benches/true-jobs.ts';
import type { Bench } from './types.ts';

/** In the order in which they run: what is sensitive to a machine that catches its breath comes first. */
export const BENCHES: readonly Bench[] = [firstInstruction, commandLine, submitSingle, trueJobs, submitBatched, queued];
