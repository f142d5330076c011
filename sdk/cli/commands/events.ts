import type { Command } from 'commander';
import { GalleyError } from '../../errors.ts';
import type { GalleyEvent, Position } from '../../events.ts';
import { isTerminal } from '../../types.ts';
import { stateColour } from '../colours.ts';
import { CliError } from '../exit.ts';
import { formatPosition, formatTime } from '../format.ts';
import { leaf } from '../global-options.ts';
import type { Host, Session } from '../host.ts';
import { untilInterrupted } from '../interrupt.ts';
import { describeEnd } from '../job-exit.ts';
import { note, print, printJsonLine } from '../output.ts';
import { parsePosition } from '../parse.ts';
import { printable } from '../table.ts';

interface EventsOptions {
  readonly queue?: string;
  readonly after?: Position;
}

export function eventsCommand(host: Host): Command {
  const command = leaf('events', 'what jobs and nodes become, as it happens')
    .option('-q, --queue <name>', 'of jobs of this queue only')
    .option('--after <position>', 'go on behind this position, as printed at the end (default: now)', parsePosition);
  return command.action(() =>
    host.run(command, async (session) => {
      const options = command.opts<EventsOptions>();
      const client = await session.client();
      let position = options.after;
      const goOn = () => (position === undefined ? [] : [`  galley events --after ${formatPosition(position)}`]);
      return untilInterrupted(session, goOn, async (signal) => {
        const onPosition = (reached: Position) => {
          position = reached;
        };
        const onReconnect = (error: GalleyError | undefined) =>
          note(
            session,
            error === undefined ? 'galley: connected again' : `galley: ${client.address} is gone, trying again ...`,
          );
        try {
          for await (const event of client.events({ ...options, signal, onPosition, onReconnect }))
            show(session, event);
        } catch (error) {
          throw signal.aborted ? error : explained(error);
        }
        return 0;
      });
    }),
  );
}

function show(session: Session, event: GalleyEvent): void {
  if (session.json) printJsonLine(session, event);
  else print(session, `${formatTime(event.atMs)}  ${eventText(session, event)}`);
}

function eventText({ colours }: Session, { job: change, node }: GalleyEvent): string {
  if (node !== undefined) {
    const reason = node.reason === '' ? '' : `: ${printable(node.reason)}`;
    return `Node ${node.node} ${colours(stateColour(node.state), node.state)}${reason}`;
  }
  if (change === undefined) return '';
  const { job, childIndices } = change;
  if (childIndices === '' && isTerminal(job.state)) return colours(stateColour(job.state), printable(describeEnd(job)));
  const children = childIndices === '' ? '' : `:${childIndices}`;
  const on = job.node === '' ? '' : ` on ${job.node}`;
  return `Job ${job.number}${children} (${job.jobName}) ${colours(stateColour(job.state), job.state)}${on}`;
}

function explained(error: unknown): unknown {
  if (!(error instanceof GalleyError) || error.code !== 'OUT_OF_RANGE') return error;
  return new CliError(error.message, ['galley status   galley jobs   galley events']);
}
