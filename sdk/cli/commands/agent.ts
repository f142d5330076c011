import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import type { Command } from 'commander';
import { compileOptions, resolveDataDirectory } from '../../options.ts';
import { removeRecord, writeRecord } from '../daemon-record.ts';
import { loadAgent } from '../entries.ts';
import { CliError } from '../exit.ts';
import { leaf } from '../global-options.ts';
import type { Host } from '../host.ts';
import { note } from '../output.ts';
import { collectCounts, collectPairs, parseCpus, parseInteger, parseSize } from '../parse.ts';
import { serveUntilSignal } from '../serve.ts';

/**
 * The young generation keeps its first size (1 MiB a half) instead of growing to 32 MiB in a burst of jobs and staying there:
 * measured over 4,000 `true` jobs, 106 MiB resident instead of 146. Unlike `--max-semi-space-size` it works in a running process.
 */
const SMALL_YOUNG_GENERATION = '--semi-space-growth-factor=1';

interface AgentCommandOptions {
  readonly name?: string;
  readonly environment?: string;
  readonly label?: Readonly<Record<string, string>>;
  readonly allowUnlimited?: boolean;
  readonly allowPrivileged?: boolean;
  readonly containerSocket?: string;
  readonly imageCache?: number;
  readonly stateDir?: string;
  readonly named?: Readonly<Record<string, number>>;
  readonly reservePercent?: number;
  readonly reserveMemory?: number;
  readonly reserveCpus?: number;
}

export function agentCommand(host: Host): Command {
  const command = leaf('agent', "run this host's agent in the foreground")
    .option('-N, --name <name>', 'of the node (default: the host name)')
    .option('--environment <name>', 'compute environment that the node joins (default: default)')
    .option('--label <name=value>', 'label of the node; may be repeated', collectPairs)
    .option('--allow-unlimited', 'take jobs although a limit cannot be enforced here')
    .option(
      '--allow-privileged',
      'let containers be privileged, or any user beside paths of the host: jobs are then root',
    )
    .option('--container-socket <path>', 'of the container engine (default: where Docker or Podman listen)')
    .option('--image-cache <size>', 'of images pulled here before the longest unused go (default: 40g)', parseSize)
    .option('--named <name=count>', 'countable thing that the node offers, as gpu=2; may be repeated', collectCounts)
    .option('--reserve-percent <number>', 'of the memory kept for the host (default: 5)', parseInteger(0, 90))
    .option('--reserve-memory <size>', 'at least so much memory kept for the host (default: 1g)', parseSize)
    .option('--reserve-cpus <number>', 'so many vCPUs kept for the host (default: 0)', parseCpus)
    .option('--state-dir <directory>', "the agent's own state (default: agent below the data directory)");
  return command.action(() =>
    host.run(command, async (session) => {
      const options = command.opts<AgentCommandOptions>();
      const { address, token, account } = compileOptions(session.connection);
      if (token === undefined) {
        throw new CliError(`an agent needs a token for ${address}`, ['GALLEY_TOKEN=... galley agent', 'galley up']);
      }
      const dataDirectory = resolveDataDirectory(session.connection);
      setFlagsFromString(SMALL_YOUNG_GENERATION);
      const { runAgent } = await loadAgent();
      const agent = await runAgent({
        address,
        token,
        dataDir: options.stateDir ?? join(dataDirectory, 'agent'),
        ...(options.name === undefined ? {} : { nodeName: options.name }),
        ...(options.environment === undefined ? {} : { computeEnvironment: options.environment }),
        ...(options.label === undefined ? {} : { labels: options.label }),
        ...(account === '' ? {} : { account }),
        ...(options.named === undefined ? {} : { namedResources: options.named }),
        reserve: toReserve(options),
        ...(options.allowUnlimited === true ? { allowUnlimited: true } : {}),
        containers: {
          ...(options.allowPrivileged === true ? { allowPrivileged: true } : {}),
          ...(options.containerSocket === undefined ? {} : { socket: options.containerSocket }),
          ...(options.imageCache === undefined ? {} : { imageCacheBytes: options.imageCache }),
        },
      });
      // With a state directory of its own it is not the one that `up` and `down` of this data directory mean.
      const isOfDataDirectory = options.stateDir === undefined;
      if (isOfDataDirectory) writeRecord(dataDirectory, 'agent', { nodeName: agent.nodeName });
      note(session, `galley: node ${agent.nodeName} serves ${address}`);
      try {
        return await serveUntilSignal(session, agent);
      } finally {
        if (isOfDataDirectory) removeRecord(dataDirectory, 'agent');
      }
    }),
  );
}

function toReserve({ reservePercent, reserveMemory, reserveCpus }: AgentCommandOptions) {
  return {
    ...(reservePercent === undefined ? {} : { percent: reservePercent }),
    ...(reserveMemory === undefined ? {} : { memoryBytes: reserveMemory }),
    ...(reserveCpus === undefined ? {} : { milliVcpu: Math.round(reserveCpus * 1000) }),
  };
}
