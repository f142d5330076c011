import type { Command } from 'commander';
import type { Node } from '../../types.ts';
import { count, formatBytes, formatResources, formatTime } from '../format.ts';
import { leaf } from '../global-options.ts';
import { group } from '../group.ts';
import type { Host } from '../host.ts';
import { missingLimits } from '../node-limits.ts';
import { print, printJson } from '../output.ts';
import { formatFields } from '../table.ts';

export function nodeCommand(host: Host): Command {
  return group('node', 'look at one node, drain it, or declare it off', [
    showCommand(host),
    drainCommand(host),
    undrainCommand(host),
    offCommand(host),
    deleteCommand(host),
  ]);
}

function showCommand(host: Host): Command {
  const command = leaf('show', 'show everything about a node').argument('<node>');
  return command.action((name: string) =>
    host.run(command, async (session) => {
      const node = await (await session.client()).getNode(name);
      if (session.json) printJson(session, node);
      else for (const line of formatFields(nodeFields(node), session.colours)) print(session, line);
      return 0;
    }),
  );
}

function nodeFields(node: Node): [string, string | undefined][] {
  const { inventory, usage } = node;
  return [
    ['Node', node.name],
    ['State', node.state],
    ['Reason', node.stateReason],
    ['Environment', node.computeEnvironment],
    ['Jobs', String(node.runningAttempts)],
    ['Allocated', formatResources(node.allocated)],
    ['For jobs', formatResources(node.capacity)],
    ['Host', inventory?.hostname],
    ['System', inventory && `${inventory.operatingSystem}, ${inventory.kernel}, ${inventory.architecture}`],
    ['Processor', inventory && `${inventory.cores} x ${inventory.cpuModel}`],
    ['Memory', inventory && formatBytes(inventory.memoryBytes)],
    ['Available', usage && formatBytes(usage.memoryAvailableBytes)],
    ['Load', usage && [usage.load1m, usage.load5m, usage.load15m].map((load) => load.toFixed(2)).join(' ')],
    ['Disk free', usage && `${formatBytes(usage.diskFreeBytes)} of ${formatBytes(usage.diskTotalBytes)}`],
    ['Limits', inventory?.limits.map(({ resource, detail }) => `${resource}: ${detail}`).join('; ')],
    [
      'Not limited',
      missingLimits(node)
        .map(({ resource }) => resource)
        .join(', '),
    ],
    ['Jobs run as', inventory && (inventory.agentIsRoot ? 'whoever they name' : inventory.agentUser)],
    [
      'Labels',
      Object.entries(inventory?.labels ?? {})
        .map(([name, value]) => `${name}=${value}`)
        .join(' '),
    ],
    ['Last seen', node.lastSeenAtMs === undefined ? undefined : formatTime(node.lastSeenAtMs)],
    ['Orphans', node.orphans.map(({ jobId, attempt }) => `${jobId} attempt ${attempt}`).join(', ')],
    ['Warnings', inventory?.warnings.join('; ')],
  ];
}

function drainCommand(host: Host): Command {
  const command = leaf('drain', 'give a node no new jobs; what runs there runs to its end')
    .argument('<node>')
    .requiredOption('--reason <text>', 'shown to everybody who asks why');
  return command.action((name: string) =>
    host.run(command, async (session) => {
      const { reason } = command.opts<{ reason: string }>();
      const node = await (await session.client()).drainNode(name, reason);
      if (session.json) printJson(session, node);
      else {
        const running = node.runningAttempts;
        print(
          session,
          `Node ${name} is ${node.state}${running === 0 ? '' : `; ${count(running, 'job')} still run there`}`,
        );
      }
      return 0;
    }),
  );
}

function undrainCommand(host: Host): Command {
  const command = leaf('undrain', 'let a drained node take jobs again').argument('<node>');
  return command.action((name: string) =>
    host.run(command, async (session) => {
      const node = await (await session.client()).undrainNode(name);
      if (session.json) printJson(session, node);
      else print(session, `Node ${name} is ${node.state}`);
      return 0;
    }),
  );
}

function offCommand(host: Host): Command {
  const command = leaf('off', 'your word that the host is off: what it ran ends as lost, now').argument('<node>');
  return command.action((name: string) =>
    host.run(command, async (session) => {
      const answer = await (await session.client()).confirmNodeOff(name);
      if (session.json) printJson(session, answer);
      else
        print(session, `Node ${name} is ${answer.node.state}; ${count(answer.endedAttempts, 'attempt')} ended as lost`);
      return 0;
    }),
  );
}

function deleteCommand(host: Host): Command {
  const command = leaf('delete', 'forget a node that runs nothing').argument('<node>');
  return command.action((name: string) =>
    host.run(command, async (session) => {
      await (await session.client()).deleteNode(name);
      if (session.json) printJson(session, { deleted: name });
      else print(session, `Node ${name} is forgotten`);
      return 0;
    }),
  );
}
