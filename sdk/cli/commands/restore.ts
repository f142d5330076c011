import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { resolveDataDirectory } from '../../options.ts';
import { findRunning } from '../daemon-record.ts';
import { loadBackup } from '../entries.ts';
import { CliError } from '../exit.ts';
import { formatBytes } from '../format.ts';
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
        const replaced = await restoreBeside(resolve(file), dataDirectory, (text) => progress.set(text));
        if (replaced !== undefined && !session.json) note(session, `the state that was there is kept in ${replaced}`);
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

/** Where a control plane keeps its state, below its data directory. */
const STORE_DIRECTORY = 'store';

/** What was there before is moved aside, never removed; answers where it is. A restore that fails moves it back. */
async function restoreBeside(
  file: string,
  dataDirectory: string,
  say: (text: string) => void,
): Promise<string | undefined> {
  const store = join(dataDirectory, STORE_DIRECTORY);
  const aside = existsSync(store)
    ? `${store}.replaced-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}`
    : undefined;
  if (aside !== undefined) await rename(store, aside);
  try {
    const { restoreBackup } = await loadBackup();
    await restoreBackup(file, dataDirectory, {
      allowMemoryFileSystem: true,
      onProgress: ({ entries, bytes }) => say(`restoring: ${entries} records, ${formatBytes(bytes)} ...`),
    });
  } catch (error) {
    if (aside !== undefined) await rename(aside, store);
    throw error;
  }
  return aside;
}
