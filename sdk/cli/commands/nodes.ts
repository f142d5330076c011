import type { Command } from 'commander';
import type { Node } from '../../types.ts';
import { stateColour } from '../colours.ts';
import { formatBytes, formatVcpus } from '../format.ts';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { missingLimits } from '../node-limits.ts';
import { note } from '../output.ts';
import { printList } from '../print-list.ts';
import type { Column } from '../table.ts';

const COLUMNS: readonly Column<Node>[] = [
  { header: 'NODE', value: ({ name }) => name },
  { header: 'STATE', value: ({ state }) => state, colour: ({ state }) => stateColour(state) },
  { header: 'ENVIRONMENT', value: ({ computeEnvironment }) => computeEnvironment, dispensable: 4 },
  { header: 'JOBS', align: 'right', value: ({ runningAttempts }) => String(runningAttempts) },
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
  {
    header: 'AVAILABLE',
    align: 'right',
    value: ({ usage }) => (usage === undefined ? '' : formatBytes(usage.memoryAvailableBytes)),
    dispensable: 2,
  },
  {
    header: 'LOAD',
    align: 'right',
    value: ({ usage }) => (usage === undefined ? '' : usage.load1m.toFixed(2)),
    dispensable: 3,
  },
  {
    header: 'DISK FREE',
    align: 'right',
    value: ({ usage }) => (usage === undefined ? '' : formatBytes(usage.diskFreeBytes)),
    dispensable: 5,
  },
  { header: 'LIMITS', value: limitsText, colour: (node) => (missingLimits(node).length > 0 ? 'red' : undefined) },
  { header: 'REASON', value: ({ stateReason }) => stateReason, flexible: true },
];

export function nodesCommand(host: Host): Command {
  const command = leaf('nodes', 'list the hosts that run agents').option(
    '--environment <name>',
    'of this compute environment',
  );
  return command.action(() =>
    host.run(command, async (session) => {
      const { environment } = command.opts<{ environment?: string }>();
      const client = await session.client();
      const nodes = client.listNodes(environment === undefined ? {} : { computeEnvironment: environment });
      const rows = await printList(session, nodes, COLUMNS, 'no nodes yet; make this host one: galley up');
      for (const node of rows) {
        for (const warning of node.inventory?.warnings ?? []) note(session, `${node.name}: ${warning}`);
      }
      return 0;
    }),
  );
}

function limitsText(node: Node): string {
  const missing = missingLimits(node);
  return missing.length === 0 ? '' : `NO ${missing.map(({ resource }) => resource).join(', ')}`;
}
