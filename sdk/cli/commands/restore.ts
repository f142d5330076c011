import { resolve } from 'node:path';
import type { Command } from 'commander';
import { resolveDataDirectory } from '../../options.ts';
import { findRunning } from '../daemon-record.ts';
import { loadBackup } from '../entries.ts';
import { CliError } from '../exit.ts';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { note, print, printJson } from '../output.ts';
import { startProgress } from '../progress.ts';

export function restoreCommand(host: Host): Command {
  const command = leaf('restore', "make a stopped control plane's state anew from a backup").argument('<file>');
  return command.action((file: string) =>
    host.run(command, async (session) => {
      const dataDirectory = resolveDataDirectory(session.connection);
      const running = findRunning(dataDirectory, 'server');
      if (running !== undefined) {
        throw new CliError(`a control plane runs on ${dataDirectory} (process ${running.pid}); stop it first`, [
          'galley down',
        ]);
      }
      const progress = startProgress(session.stderr, `restoring ${file} into ${dataDirectory} ...`);
      try {
        const { restoreBackup } = await loadBackup();
        await restoreBackup(resolve(file), dataDirectory);
      } finally {
        progress.stop();
      }
      if (session.json) {
        printJson(session, { file: resolve(file), dataDirectory });
        return 0;
      }
      print(session, `${dataDirectory} holds the state of ${file}; it starts paused and asks its nodes what they know`);
      note(session, '  galley up\n  galley status\n  galley resume');
      return 0;
    }),
  );
}
