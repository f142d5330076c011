import type { Command } from 'commander';
import type { Change } from '../cluster-file/plan.ts';
import type { Colour } from '../colours.ts';
import { confirm } from '../confirm.ts';
import { CliError } from '../exit.ts';
import { count } from '../format.ts';
import { leaf } from '../global-options.ts';
import type { Host, Session } from '../host.ts';
import { note, print, printJson } from '../output.ts';

interface ApplyOptions {
  readonly file: string;
  readonly dryRun?: boolean;
  readonly prune?: boolean;
  readonly yes?: boolean;
}

export function applyCommand(host: Host): Command {
  const command = leaf('apply', 'make queues, environments and definitions as a file says')
    .requiredOption('-f, --file <file>', 'YAML or JSON, as `galley export` writes it; - is the standard input')
    .option('--dry-run', 'show the difference and do nothing')
    .option('--prune', 'delete what is there and not in the file, of the kinds that the file has')
    .option('--yes', 'delete without asking');
  return command.action(() =>
    host.run(command, async (session) => {
      const options = command.opts<ApplyOptions>();
      const [{ readTextDocument }, { readClusterFile }, plan, { applyChanges }] = await Promise.all([
        import('../document/document.ts'),
        import('../cluster-file/cluster-file.ts'),
        import('../cluster-file/plan.ts'),
        import('../cluster-file/apply-changes.ts'),
      ]);
      const file = readClusterFile(readTextDocument(options.file), session.env);
      const client = await session.client();
      const state = await plan.readState(client);
      const refusals = plan.foreseeRefusals(file, state, options.prune === true);
      if (refusals.length > 0) {
        throw new CliError([`${options.file} cannot be applied; nothing was done`, ...refusals].join('\n  '));
      }
      const changes = plan.planChanges(file, state, options.prune === true);
      if (!session.json) for (const change of changes) print(session, lineOf(session, change));
      const deletions = changes.filter(({ action }) => action === 'delete').length;
      if (options.dryRun !== true && changes.length > 0) {
        if (deletions > 0 && options.yes !== true) await confirm(session, `Delete ${count(deletions, 'thing')}?`);
        await applyChanges(client, changes);
      }
      report(session, changes, options.dryRun === true);
      return 0;
    }),
  );
}

const MARKS: Readonly<Record<Change['action'], readonly [string, Colour]>> = {
  create: ['+', 'green'],
  update: ['~', 'yellow'],
  delete: ['-', 'red'],
};

function lineOf({ colours }: Session, { action, kind, name, details }: Change): string {
  const [mark, colour] = MARKS[action];
  return colours(colour, `${mark} ${kind} ${name}${details === '' ? '' : `: ${details}`}`);
}

function report(session: Session, changes: readonly Change[], dryRun: boolean): void {
  if (session.json) {
    const shown = changes.map(({ action, kind, name, details }) => ({ action, kind, name, details }));
    printJson(session, { applied: !dryRun, changes: shown });
  } else if (changes.length === 0) note(session, 'nothing to change');
  else
    note(
      session,
      dryRun
        ? `${count(changes.length, 'change')} would be made; nothing was`
        : `${count(changes.length, 'change')} made`,
    );
}
