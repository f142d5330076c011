import type { Command } from 'commander';
import { EXIT_GALLEY } from '../exit.ts';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { note, print, printJson } from '../output.ts';

interface ResumeOptions {
  readonly acceptLoss?: boolean;
  readonly waiveMissingNodes?: boolean;
}

export function resumeCommand(host: Host): Command {
  const command = leaf('resume', 'place jobs again: after a pause, a restore or an accepted loss')
    .option('--accept-loss', 'go on although committed work is missing from the store')
    .option('--waive-missing-nodes', 'do not wait for nodes that have not reported since a restore');
  return command.action(() =>
    host.run(command, async (session) => {
      const answer = await (await session.client()).resumeScheduling(command.opts<ResumeOptions>());
      const open = answer.pauses.length === 0 && answer.awaitedNodes.length === 0;
      if (session.json) {
        printJson(session, answer);
        return open ? 0 : EXIT_GALLEY;
      }
      print(session, open ? 'Scheduling is open' : 'Scheduling is still held back');
      for (const pause of answer.pauses) print(session, `  ${pause.message}`);
      if (answer.awaitedNodes.length > 0) {
        print(session, `  waiting for nodes: ${answer.awaitedNodes.join(', ')}`);
        note(session, '  galley resume --waive-missing-nodes');
      }
      if (answer.pauses.some(({ cause }) => cause === 'LOSS')) note(session, '  galley resume --accept-loss');
      return open ? 0 : EXIT_GALLEY;
    }),
  );
}
