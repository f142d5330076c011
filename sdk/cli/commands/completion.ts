import type { Command } from 'commander';
import { completionScript, SHELLS, type Shell } from '../completion.ts';
import { CliError } from '../exit.ts';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { print } from '../output.ts';

export function completionCommand(host: Host, program: () => Command): Command {
  const command = leaf('completion', 'print a completion script: source <(galley completion bash)').argument(
    '<shell>',
    SHELLS.join(', '),
  );
  return command.action((shell: string) =>
    host.run(command, async (session) => {
      const known = SHELLS.find((name): name is Shell => name === shell);
      if (known === undefined) throw new CliError(`completion is for ${SHELLS.join(', ')}; got "${shell}"`);
      print(session, completionScript(known, program()));
      return 0;
    }),
  );
}
