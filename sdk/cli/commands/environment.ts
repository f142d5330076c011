import type { Command } from 'commander';
import type { ComputeEnvironmentSettings } from '../../environments.ts';
import type { ComputeEnvironment } from '../../types.ts';
import { choice } from '../choice.ts';
import { stateColour } from '../colours.ts';
import { CliError } from '../exit.ts';
import { formatBytes, formatVcpus } from '../format.ts';
import { leaf } from '../global-options.ts';
import { group } from '../group.ts';
import type { Host, Session } from '../host.ts';
import { note, print, printJson } from '../output.ts';
import { printList } from '../print-list.ts';
import type { Column } from '../table.ts';

const COLUMNS: readonly Column<ComputeEnvironment>[] = [
  { header: 'ENVIRONMENT', value: ({ name }) => name },
  { header: 'STATE', value: ({ state }) => state, colour: ({ state }) => stateColour(state) },
  { header: 'NODES', align: 'right', value: ({ nodes, readyNodes }) => `${readyNodes}/${nodes}` },
  {
    header: 'VCPU',
    align: 'right',
    value: ({ allocated, capacity }) =>
      `${formatVcpus(allocated?.milliVcpu ?? 0)}/${formatVcpus(capacity?.milliVcpu ?? 0)}`,
  },
  {
    header: 'MEMORY',
    align: 'right',
    value: ({ allocated, capacity }) =>
      `${formatBytes(allocated?.memoryBytes ?? 0)}/${formatBytes(capacity?.memoryBytes ?? 0)}`,
  },
  { header: 'STRATEGY', value: ({ placementStrategy = 'PACK' }) => placementStrategy },
];

export function environmentCommand(host: Host): Command {
  return group('environment', 'compute environments: sets of nodes', [
    listCommand(host),
    createCommand(host),
    setCommand(host),
    stateCommand(host, 'enable', true),
    stateCommand(host, 'disable', false),
    deleteCommand(host),
  ]);
}

function listCommand(host: Host): Command {
  const command = leaf('list', 'list compute environments');
  return command.action(() =>
    host.run(command, async (session) => {
      const environments = (await session.client()).listComputeEnvironments();
      await printList(session, environments, COLUMNS, 'no environments; make one: galley environment create NAME');
      return 0;
    }),
  );
}

function createCommand(host: Host): Command {
  const command = withSettings(leaf('create', 'make a compute environment').argument('<name>')).option(
    '--disabled',
    'its nodes take no jobs yet',
  );
  return command.action((name: string) =>
    host.run(command, async (session) => {
      const { strategy, disabled } = command.opts<EnvironmentOptions & { disabled?: boolean }>();
      const settings = {
        ...(strategy === undefined ? {} : { placementStrategy: strategy }),
        ...(disabled === true ? { enabled: false } : {}),
      };
      const environment = await (await session.client()).createComputeEnvironment(name, settings);
      const code = report(session, environment, `Environment ${name} made`);
      if (!session.json) note(session, `  galley agent --environment ${name}   (on a host, makes it one of its nodes)`);
      return code;
    }),
  );
}

function setCommand(host: Host): Command {
  const command = withSettings(leaf('set', 'change a compute environment').argument('<name>'));
  return command.action((name: string) =>
    host.run(command, async (session) => {
      const { strategy } = command.opts<EnvironmentOptions>();
      if (strategy === undefined) {
        throw new CliError('nothing to change was given', [`galley environment set ${name} --strategy spread`]);
      }
      const client = await session.client();
      const environment = await client.updateComputeEnvironment(name, { placementStrategy: strategy });
      return report(session, environment, `Environment ${name}: ${environment.placementStrategy ?? 'PACK'}`);
    }),
  );
}

function stateCommand(host: Host, verb: 'enable' | 'disable', enabled: boolean): Command {
  const description = enabled ? 'let its nodes take jobs' : 'let its nodes take no new jobs';
  const command = leaf(verb, description).argument('<name>');
  return command.action((name: string) =>
    host.run(command, async (session) => {
      const environment = await (await session.client()).updateComputeEnvironment(name, { enabled });
      return report(session, environment, `Environment ${name} is ${environment.state}`);
    }),
  );
}

function deleteCommand(host: Host): Command {
  const command = leaf('delete', 'delete a disabled environment without nodes and queues').argument('<name>');
  return command.action((name: string) =>
    host.run(command, async (session) => {
      await (await session.client()).deleteComputeEnvironment(name);
      if (session.json) printJson(session, { deleted: name });
      else print(session, `Environment ${name} is deleted`);
      return 0;
    }),
  );
}

const STRATEGIES = { pack: 'PACK', spread: 'SPREAD' } as const;

interface EnvironmentOptions {
  readonly strategy?: NonNullable<ComputeEnvironmentSettings['placementStrategy']>;
}

function withSettings(command: Command): Command {
  return command.addOption(
    choice('--strategy <name>', 'fill nodes up, or spread jobs over them (default: pack)', STRATEGIES),
  );
}

function report(session: Session, environment: ComputeEnvironment, text: string): number {
  if (session.json) printJson(session, environment);
  else print(session, text);
  return 0;
}
