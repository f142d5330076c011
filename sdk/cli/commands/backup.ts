import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { CliError } from '../exit.ts';
import { formatBytes } from '../format.ts';
import { leaf } from '../global-options.ts';
import type { Host, Session } from '../host.ts';
import { untilInterrupted } from '../interrupt.ts';
import { print, printJson } from '../output.ts';
import { startProgress } from '../progress.ts';

export function backupCommand(host: Host): Command {
  const command = leaf('backup', "copy the control plane's state into a file while it runs").argument('<file>');
  return command.action((file: string) =>
    host.run(command, (session) => {
      const nothing = () => [`the backup was not finished; ${file} was not written`];
      return untilInterrupted(session, nothing, async (signal) => {
        const result = await backupTo(session, resolve(file), signal);
        if (session.json) {
          printJson(session, { file: resolve(file), ...result });
          return 0;
        }
        const { epoch, sequence } = result.position;
        print(session, `${file}: ${formatBytes(result.bytes)}, ${result.records} records, up to ${epoch}.${sequence}`);
        return 0;
      });
    }),
  );
}

/** The file appears whole and synced, or not at all. */
async function backupTo(session: Session, file: string, signal: AbortSignal) {
  const temporary = `${file}.partial-${process.pid}`;
  const progress = startProgress(session.stderr, 'backup ...');
  const handle = await open(temporary, 'wx', 0o600);
  try {
    const result = await receive(session, handle, signal, (text) => progress.set(text));
    await handle.sync();
    await rename(temporary, file);
    await syncDirectory(dirname(file));
    return result;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    progress.stop();
    await handle.close();
  }
}

async function receive(session: Session, handle: FileHandle, signal: AbortSignal, say: (text: string) => void) {
  let bytes = 0;
  let records = 0;
  for await (const piece of (await session.client()).backup({ signal })) {
    await handle.writeFile(piece.data);
    bytes += piece.data.byteLength;
    records = piece.recordsDone;
    say(`backup: ${records} records, ${formatBytes(bytes)} ...`);
    if (piece.position !== undefined) return { bytes, records, position: piece.position };
  }
  throw new CliError('the backup ended before its last piece; nothing was written');
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
