import type { Command } from 'commander';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { print, printJson } from '../output.ts';
import { VERSION } from '../version.ts';

export function versionCommand(host: Host): Command {
  const command = leaf('version', 'print the version of this program, and of the control plane if one answers').option(
    '--client',
    'of this program only',
  );
  return command.action(() =>
    host.run(command, async (session) => {
      const server = command.opts<{ client?: boolean }>().client === true ? undefined : await serverVersion();
      if (session.json) {
        printJson(session, { client: VERSION, node: process.version, ...(server === undefined ? {} : { server }) });
      } else {
        print(session, `galley ${VERSION} (Node ${process.version})`);
        if (server !== undefined) print(session, `control plane ${server}`);
      }
      return 0;

      async function serverVersion(): Promise<string | undefined> {
        try {
          return (await (await session.client()).getClusterStatus({ timeoutMs: 2_000 })).version;
        } catch {
          return undefined;
        }
      }
    }),
  );
}
