import { toBinary } from '@bufbuild/protobuf';
import { SubmitJobRequestSchema } from '@galley/proto';
import { toSubmitRequest } from '@galley/sdk/submit-request.ts';
import { Echo } from '../floors/echo.ts';
import { distinctJob } from '../jobs.ts';
import { alternate, toRow } from '../rounds.ts';
import { quantile, rounded } from '../stats.ts';
import { withGalley } from '../system/galley.ts';
import { atLeastPercentOfFloor } from '../targets.ts';
import type { Bench } from '../types.ts';

const IN_FLIGHT = 64;
const TARGET_PERCENT = 40;

/** Durable submits, one job a call, from another process. */
export const submitSingle: Bench = {
  name: 'submit-single',
  run: (context) =>
    withGalley(context, { agent: false }, async (galley) => {
      const [rounds, roundMs] = context.quick ? [2, 1_000] : [5, 3_000];
      const client = galley.client();
      const echo = await Echo.start(galley.token);
      const latencies: number[] = [];
      const submit = async () => {
        const from = performance.now();
        await client.submitJob(distinctJob());
        latencies.push(performance.now() - from);
      };
      // The bytes of a job, made anew for each call as the client of ours makes them.
      const call = () => echo.send(Buffer.from(toBinary(SubmitJobRequestSchema, toSubmitRequest(distinctJob(), ''))));
      try {
        await inFlight(submit, 500);
        await inFlight(call, 500);
        latencies.length = 0;
        await galley.begin();
        let clientUs = 0;
        const measured = await alternate(
          rounds,
          async (round) => {
            context.say(`round ${round + 1} of ${rounds}`);
            const before = process.cpuUsage();
            const rate = await inFlight(submit, roundMs);
            const used = process.cpuUsage(before);
            clientUs += used.user + used.system;
            return rate;
          },
          () => inFlight(call, roundMs),
        );
        const processes = await galley.end();
        const row = toRow(
          {
            name: 'submit-single',
            what: `durable submits, one a call, ${IN_FLIGHT} in flight`,
            unit: 'jobs/s',
            better: 'higher',
          },
          measured,
          'raw grpc-js echo of the same bytes, same token',
          atLeastPercentOfFloor(TARGET_PERCENT),
        );
        const { server } = processes;
        return {
          rows: [row],
          processes,
          detail: {
            jobs: latencies.length,
            answerP50Ms: rounded(quantile(latencies, 0.5)),
            answerP99Ms: rounded(quantile(latencies, 0.99)),
            clientCpuPerJobUs: rounded(clientUs / latencies.length),
            serverCpuPerJobUs: rounded(
              (((server?.cpuUserMs ?? 0) + (server?.cpuSystemMs ?? 0)) * 1000) / latencies.length,
            ),
          },
        };
      } finally {
        await echo.close();
      }
    }),
};

/** Keeps so many calls under way for so long; resolves with calls per second. */
async function inFlight(call: () => Promise<unknown>, forMs: number): Promise<number> {
  const from = performance.now();
  let ended = 0;
  const caller = async () => {
    while (performance.now() - from < forMs) {
      await call();
      ended++;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
  return (ended / (performance.now() - from)) * 1000;
}
