import type { Command } from 'commander';
import type { JobQueueSettings } from '../../queues.ts';
import { countIn, type StateKey } from '../../state-counts.ts';
import type { JobQueue } from '../../types.ts';
import { stateColour } from '../colours.ts';
import { CliError } from '../exit.ts';
import { count } from '../format.ts';
import { leaf } from '../global-options.ts';
import { group } from '../group.ts';
import type { Host, Session } from '../host.ts';
import { print, printJson } from '../output.ts';
import { collectList, parseInteger } from '../parse.ts';
import { printList } from '../print-list.ts';
import type { Column } from '../table.ts';

interface QueueOptions {
  readonly priority?: number;
  readonly environment?: readonly string[];
}

const live = (state: StateKey) => (queue: JobQueue) => String(countIn(queue.liveJobs, [state]));

const COLUMNS: readonly Column<JobQueue>[] = [
  { header: 'QUEUE', value: ({ name }) => name },
  { header: 'STATE', value: ({ state }) => state, colour: ({ state }) => stateColour(state) },
  { header: 'PRIORITY', align: 'right', value: ({ priority }) => String(priority) },
  { header: 'SUBMITTED', align: 'right', value: live('submitted') },
  { header: 'PENDING', align: 'right', value: live('pending') },
  { header: 'RUNNABLE', align: 'right', value: live('runnable') },
  { header: 'STARTING', align: 'right', value: live('starting') },
  { header: 'RUNNING', align: 'right', value: live('running') },
  { header: 'ENVIRONMENTS', value: ({ computeEnvironments }) => computeEnvironments.join(', '), flexible: true },
];

const MAX_PRIORITY = 1_000_000;

export function queueCommand(host: Host): Command {
  return group('queue', 'job queues', [
    listCommand(host),
    createCommand(host),
    setCommand(host),
    stateCommand(host, 'enable', true),
    stateCommand(host, 'disable', false),
    deleteCommand(host),
  ]);
}

function listCommand(host: Host): Command {
  const command = leaf('list', 'list job queues');
  return command.action(() =>
    host.run(command, async (session) => {
      const queues = (await session.client()).listJobQueues();
      await printList(session, queues, COLUMNS, 'no queues; make one: galley queue create NAME');
      return 0;
    }),
  );
}

function createCommand(host: Host): Command {
  const command = withSettings(leaf('create', 'make a queue').argument('<name>')).option(
    '--disabled',
    'takes no jobs yet',
  );
  return command.action((name: string) =>
    host.run(command, async (session) => {
      const options = command.opts<QueueOptions & { disabled?: boolean }>();
      const settings = { ...toSettings(options), ...(options.disabled === true ? { enabled: false } : {}) };
      const queue = await (await session.client()).createJobQueue(name, settings);
      return report(session, queue, `Queue ${name} made, priority ${queue.priority}`);
    }),
  );
}

function setCommand(host: Host): Command {
  const command = withSettings(leaf('set', 'change a queue').argument('<name>')).option(
    '--if-version <number>',
    'only if nobody has changed it since this version',
    parseInteger(1, Number.MAX_SAFE_INTEGER),
  );
  return command.action((name: string) =>
    host.run(command, async (session) => {
      const options = command.opts<QueueOptions & { ifVersion?: number }>();
      const settings = toSettings(options);
      if (Object.keys(settings).length === 0) {
        throw new CliError('nothing to change was given', [`galley queue set ${name} --priority 10`]);
      }
      const { ifVersion } = options;
      const client = await session.client();
      const queue = await client.updateJobQueue(name, {
        ...settings,
        ...(ifVersion === undefined ? {} : { ifVersion }),
      });
      return report(
        session,
        queue,
        `Queue ${name}: priority ${queue.priority}, ${queue.computeEnvironments.join(', ')}`,
      );
    }),
  );
}

function stateCommand(host: Host, verb: 'enable' | 'disable', enabled: boolean): Command {
  const command = leaf(verb, enabled ? 'let a queue take jobs' : 'let a queue take no new jobs').argument('<name>');
  return command.action((name: string) =>
    host.run(command, async (session) => {
      const queue = await (await session.client()).updateJobQueue(name, { enabled });
      return report(session, queue, `Queue ${name} is ${queue.state}`);
    }),
  );
}

function deleteCommand(host: Host): Command {
  const command = leaf('delete', 'delete a disabled queue; jobs still in it fail').argument('<name>');
  return command.action((name: string) =>
    host.run(command, async (session) => {
      const { endedJobs } = await (await session.client()).deleteJobQueue(name);
      if (session.json) printJson(session, { deleted: name, endedJobs });
      else print(session, `Queue ${name} is deleted; ${count(endedJobs, 'job')} ended with it`);
      return 0;
    }),
  );
}

function withSettings(command: Command): Command {
  return command
    .option('--priority <number>', 'higher is served first', parseInteger(0, MAX_PRIORITY))
    .option('--environment <name>', 'compute environments, in the order in which they are tried', collectList);
}

function toSettings({ priority, environment }: QueueOptions): JobQueueSettings {
  return {
    ...(priority === undefined ? {} : { priority }),
    ...(environment === undefined ? {} : { computeEnvironments: environment }),
  };
}

function report(session: Session, queue: JobQueue, text: string): number {
  if (session.json) printJson(session, queue);
  else print(session, text);
  return 0;
}
