import type { Command } from 'commander';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { note, printJson } from '../output.ts';

export function exportCommand(host: Host): Command {
  const command = leaf('export', 'write queues, environments and definitions as a file for `galley apply`');
  return command.action(() =>
    host.run(command, async (session) => {
      const [{ exportCluster }, { readState }, { parse }] = await Promise.all([
        import('../cluster-file/export.ts'),
        import('../cluster-file/plan.ts'),
        import('yaml'),
      ]);
      const { text, unsaid } = exportCluster(await readState(await session.client()));
      if (session.json) printJson(session, parse(text));
      else session.stdout.write(text);
      if (unsaid.length > 0) {
        note(session, `definitions are left out: a file cannot say all of ${unsaid.join(', ')}`);
      }
      return 0;
    }),
  );
}
