import type { Command } from 'commander';
import { DEFAULT_PORT, resolveDataDirectory } from '../../options.ts';
import type { Node } from '../../types.ts';
import { bringUpAgent, bringUpServer } from '../cluster.ts';
import { formatResources } from '../format.ts';
import { leaf } from '../global-options.ts';
import type { Host, Session } from '../host.ts';
import { untilInterrupted } from '../interrupt.ts';
import { missingLimits } from '../node-limits.ts';
import { note, print, printJson } from '../output.ts';
import { parseInteger } from '../parse.ts';
import { startProgress } from '../progress.ts';

interface UpOptions {
  readonly port?: number;
  readonly name?: string;
  readonly allowMemoryFileSystem?: boolean;
}

export function upCommand(host: Host): Command {
  const command = leaf('up', 'start a control plane and an agent on this machine, in the background')
    .option(
      '--port <number>',
      `of the control plane; 0 takes any (default: the one before, else ${DEFAULT_PORT})`,
      parseInteger(0, 65_535),
    )
    .option('-N, --name <name>', 'of the node (default: the host name)')
    .option('--allow-memory-file-system', 'keep state on tmpfs although a reboot loses it');
  return command.action(() =>
    host.run(command, async (session) => {
      const { port, name, allowMemoryFileSystem } = command.opts<UpOptions>();
      const dataDirectory = resolveDataDirectory(session.connection);
      const progress = startProgress(session.stderr, 'starting ...');
      const halfUp = () => ['what was started goes on; `galley status` shows it, `galley down` stops it'];
      return untilInterrupted(session, halfUp, async (signal) => {
        const options = {
          dataDirectory,
          env: session.env,
          signal,
          say: (text: string) => progress.set(text),
          ...(port === undefined ? {} : { port }),
          ...(name === undefined ? {} : { nodeName: name }),
          ...(allowMemoryFileSystem === true ? { allowMemoryFileSystem: true } : {}),
        };
        try {
          const server = await bringUpServer(options);
          try {
            const agent = await bringUpAgent(options, server.client);
            progress.stop();
            const place = { address: server.client.address, dataDirectory };
            const { node } = agent;
            if (session.json) {
              const started = { serverStarted: server.started, agentStarted: agent.started };
              printJson(session, { ...place, ...started, serverPid: server.pid, agentPid: agent.pid, node });
              return 0;
            }
            report(session, place.address, dataDirectory, 'Control plane', server);
            report(session, `node ${node.name}: ${formatResources(node.capacity)} for jobs`, '', 'Agent', agent);
            warnOfLimits(session, node);
            if (!server.started && !agent.started) note(session, 'nothing to do: it is up already');
            else note(session, '  galley run -- echo hello   galley status');
            return 0;
          } finally {
            server.client.close();
          }
        } finally {
          progress.stop();
        }
      });
    }),
  );
}

function report(
  session: Session,
  what: string,
  directory: string,
  subject: string,
  { started, pid }: { readonly started: boolean; readonly pid: number },
): void {
  const where = directory === '' ? '' : `, data in ${directory}`;
  print(session, `${subject} ${started ? 'started' : 'is up'}: ${what}${where} (process ${pid})`);
}

/** Jobs without limits can take everything from everybody else: that is said each time. */
function warnOfLimits(session: Session, node: Node): void {
  const missing = missingLimits(node);
  if (missing.length === 0) return;
  const why = missing.map(({ resource, detail }) => `${resource} (${detail})`).join(', ');
  note(session, session.colours('yellow', `warning: jobs on ${node.name} run WITHOUT LIMITS on ${why}`));
}
