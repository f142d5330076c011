import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readClaim } from '@galley/agent/launcher/records.ts';

/** The process that watches over a job's running attempt, from the state directory of its agent. */
export function supervisorOf(agentDirectory: string, jobId: string): number {
  const attempts = join(agentDirectory, 'attempts');
  const mine = readdirSync(attempts).filter((name) => name.startsWith(jobId));
  const claims = mine.map((name) => readClaim(join(attempts, name)));
  const claim = claims.find(({ by }) => by === 'supervisor');
  if (claim?.by !== 'supervisor') throw new Error(`no supervisor of ${jobId} in ${readdirSync(attempts).join(', ')}`);
  return claim.supervisor.pid;
}
