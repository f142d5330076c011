import type { Command } from 'commander';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { note, print, printJson } from '../output.ts';

export function pauseCommand(host: Host): Command {
  const command = leaf('pause', 'place no jobs until resume; what runs goes on').option('--reason <text>', 'why', '');
  return command.action(() =>
    host.run(command, async (session) => {
      await (await session.client()).pauseScheduling(command.opts<{ reason: string }>().reason);
      if (session.json) {
        printJson(session, { paused: true });
        return 0;
      }
      print(session, 'Scheduling is paused');
      note(session, '  galley resume');
      return 0;
    }),
  );
}
