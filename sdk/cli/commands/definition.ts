import type { Command } from 'commander';
import type { JobDefinition } from '../../types.ts';
import { formatDuration, formatResources, formatTime, formatTries } from '../format.ts';
import { leaf } from '../global-options.ts';
import { group } from '../group.ts';
import type { Host } from '../host.ts';
import { addTaskOptions, type TaskOptions, toTaskRequest } from '../job-options.ts';
import { note, print, printJson } from '../output.ts';
import { printList } from '../print-list.ts';
import { quoteCommand } from '../quote.ts';
import { type Column, formatFields } from '../table.ts';

const COLUMNS: readonly Column<JobDefinition>[] = [
  { header: 'DEFINITION', value: ({ name, revision }) => `${name}:${revision}` },
  {
    header: 'STATE',
    value: ({ active }) => (active ? 'ACTIVE' : 'INACTIVE'),
    colour: ({ active }) => (active ? 'green' : 'gray'),
  },
  { header: 'RESOURCES', value: ({ task }) => formatResources(task?.resources) },
  { header: 'CREATED', value: ({ createdAtMs }) => (createdAtMs === undefined ? '' : formatTime(createdAtMs)) },
  { header: 'COMMAND', value: ({ task }) => quoteCommand(task?.command ?? []), flexible: true },
];

export function definitionCommand(host: Host): Command {
  return group('definition', 'job definitions: templates with revisions', [
    listCommand(host),
    showCommand(host),
    registerCommand(host),
    deregisterCommand(host),
  ]);
}

function listCommand(host: Host): Command {
  const command = leaf('list', 'list job definitions')
    .argument('[name]', 'all revisions of this one')
    .option('--inactive', 'deregistered ones too');
  return command.action((name: string | undefined) =>
    host.run(command, async (session) => {
      const includeInactive = command.opts<{ inactive?: boolean }>().inactive === true;
      const client = await session.client();
      const definitions = client.listJobDefinitions({ includeInactive, ...(name === undefined ? {} : { name }) });
      await printList(
        session,
        definitions,
        COLUMNS,
        'no definitions; make one: galley definition register NAME -- COMMAND',
      );
      return 0;
    }),
  );
}

function showCommand(host: Host): Command {
  const command = leaf('show', 'show a job definition').argument('<name>', 'name or name:revision');
  return command.action((name: string) =>
    host.run(command, async (session) => {
      const definition = await (await session.client()).getJobDefinition(name);
      if (session.json) {
        printJson(session, definition);
        return 0;
      }
      const { task, timeout, retryStrategy, createdAtMs } = definition;
      const fields: [string, string | undefined][] = [
        ['Definition', `${definition.name}:${definition.revision}${definition.active ? '' : ' (inactive)'}`],
        ['Image', task?.container?.image],
        ['Command', quoteCommand(task?.command ?? [])],
        ['Resources', formatResources(task?.resources)],
        ['User', task?.runAs?.user],
        ['Directory', task?.workingDirectory],
        ['Environment', pairs(task?.environment ?? {})],
        ['Parameters', pairs(definition.parameters)],
        ['Time-out', timeout && formatDuration(timeout.attemptDurationSeconds * 1000)],
        ['Tries', formatTries(retryStrategy)],
        ['Tags', pairs(definition.tags)],
        ['Created', createdAtMs === undefined ? undefined : formatTime(createdAtMs)],
      ];
      for (const line of formatFields(fields, session.colours)) print(session, line);
      return 0;
    }),
  );
}

function registerCommand(host: Host): Command {
  const command = leaf('register', 'make the next revision of a definition')
    .alias('create')
    .argument('<name>')
    .argument('[command...]', 'program and arguments, after --');
  addTaskOptions(command, host.env);
  return command.action((name: string, words: string[]) =>
    host.run(command, async (session) => {
      const request = { name, ...toTaskRequest(command.opts<TaskOptions>(), words) };
      const definition = await (await session.client()).registerJobDefinition(request);
      if (session.json) {
        printJson(session, definition);
        return 0;
      }
      print(session, `Definition ${definition.name}:${definition.revision} registered`);
      note(session, `  galley submit --definition ${definition.name}`);
      return 0;
    }),
  );
}

function deregisterCommand(host: Host): Command {
  const command = leaf('deregister', 'let a revision take no new jobs').alias('delete').argument('<name:revision>');
  return command.action((name: string) =>
    host.run(command, async (session) => {
      const definition = await (await session.client()).deregisterJobDefinition(name);
      if (session.json) printJson(session, definition);
      else print(session, `Definition ${name} takes no new jobs; jobs that were submitted go on`);
      return 0;
    }),
  );
}

function pairs(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}
