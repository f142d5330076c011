import type { Command } from 'commander';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { untilInterrupted } from '../interrupt.ts';
import { print, printJson, widthOf } from '../output.ts';
import { parseDuration } from '../parse.ts';
import { runLive, takeSample } from '../top/live.ts';
import { drawScreen } from '../top/screen.ts';

const DEFAULT_INTERVAL_MS = 2_000;
const MIN_INTERVAL_MS = 200;

export function topCommand(host: Host): Command {
  const command = leaf('top', 'nodes, running jobs and throughput, live on a terminal')
    .option('--interval <duration>', 'between two looks (default: 2s)', parseDuration)
    .option('--once', 'print once and end, as it does where there is no terminal');
  return command.action(() =>
    host.run(command, async (session) => {
      const { interval = DEFAULT_INTERVAL_MS, once } = command.opts<{ interval?: number; once?: boolean }>();
      const client = await session.client();
      if (session.json) {
        printJson(session, await takeSample(client));
        return 0;
      }
      if (once === true || session.stdout.isTTY !== true) {
        const options = { width: widthOf(session.stdout), height: Number.POSITIVE_INFINITY, colours: session.colours };
        for (const line of drawScreen(await takeSample(client), options)) print(session, line);
        return 0;
      }
      return untilInterrupted(
        session,
        () => [],
        async (signal) => {
          await runLive(session, client, Math.max(MIN_INTERVAL_MS, interval), signal);
          return 0;
        },
      );
    }),
  );
}
