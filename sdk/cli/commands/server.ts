import { type Command, Option } from 'commander';
import { DEFAULT_PORT, resolveDataDirectory } from '../../options.ts';
import { removeRecord, writeRecord } from '../daemon-record.ts';
import { loadServer } from '../entries.ts';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { note } from '../output.ts';
import { parseInteger } from '../parse.ts';
import { serveUntilSignal } from '../serve.ts';

interface ServerCommandOptions {
  readonly host?: string;
  readonly port: number;
  readonly httpPort?: number;
  readonly allowMemoryFileSystem?: boolean;
  readonly insecureListen?: boolean;
  readonly unsafeNoSync?: boolean;
  readonly logLevel?: string;
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;

export function serverCommand(host: Host): Command {
  const command = leaf('server', 'run the control plane in the foreground')
    .option('--host <address>', 'listen on this address (default: 127.0.0.1)')
    .option('--port <number>', 'listen on this port; 0 takes any', parseInteger(0, 65_535), DEFAULT_PORT)
    .option('--http-port <number>', 'of the HTTP plane (default: the one after --port)', parseInteger(0, 65_535))
    .option('--allow-memory-file-system', 'keep state on tmpfs although a reboot loses it')
    .option('--insecure-listen', 'allow an address that others can reach, without encryption')
    // Only there so that the power cut test can show that it would notice.
    .addOption(new Option('--unsafe-no-sync', 'acknowledge before the disk has it: a power cut loses jobs').hideHelp())
    .addOption(new Option('--log-level <level>', 'how much to log').choices(LOG_LEVELS));
  return command.action(() =>
    host.run(command, async (session) => {
      const options = command.opts<ServerCommandOptions>();
      const dataDir = resolveDataDirectory(session.connection);
      const { runServer } = await loadServer();
      const server = await runServer({
        dataDir,
        port: options.port,
        ...(options.httpPort === undefined ? {} : { httpPort: options.httpPort }),
        ...(options.host === undefined ? {} : { host: options.host }),
        ...(options.allowMemoryFileSystem === true ? { allowMemoryFileSystem: true } : {}),
        ...(options.insecureListen === true ? { insecureListen: true } : {}),
        ...(options.unsafeNoSync === true ? { unsafeNoSync: true } : {}),
        ...(options.logLevel === undefined ? {} : { logLevel: options.logLevel }),
      });
      writeRecord(dataDir, 'server');
      note(
        session,
        `galley: the control plane listens on ${server.address} (HTTP on ${server.httpAddress}), data in ${dataDir}`,
      );
      try {
        return await serveUntilSignal(session, server);
      } finally {
        removeRecord(dataDir, 'server');
      }
    }),
  );
}
