import type { Command } from 'commander';
import type { ContainerRequest, ExitRule, JobRequest, MountRequest, TaskRequest } from '../submit-request.ts';
import { choice } from './choice.ts';
import { CliError } from './exit.ts';
import {
  collectCounts,
  collectEnvironment,
  collectExitRules,
  collectList,
  collectMounts,
  collectPairs,
  parseArray,
  parseCpus,
  parseInteger,
  parseMemory,
  parseSeconds,
  parseSize,
} from './parse.ts';

/** What `run`, `submit` and `definition register` know of a task. */
export interface TaskOptions {
  readonly cpus?: number;
  readonly memory?: number;
  readonly swap?: number;
  readonly pids?: number;
  readonly named?: Readonly<Record<string, number>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: string;
  readonly workdir?: string;
  readonly separateStreams?: boolean;
  readonly stopGrace?: number;
  readonly timeout?: number;
  readonly retries?: number;
  readonly evaluateOnExit?: readonly ExitRule[];
  readonly param?: Readonly<Record<string, string>>;
  readonly tag?: Readonly<Record<string, string>>;
  readonly image?: string;
  readonly pull?: NonNullable<ContainerRequest['pullPolicy']>;
  readonly entrypoint?: string;
  readonly volume?: readonly MountRequest[];
  readonly containerUser?: string;
  readonly network?: NonNullable<ContainerRequest['networkMode']>;
  readonly readOnly?: boolean;
  readonly init?: boolean;
  readonly privileged?: boolean;
  readonly shmSize?: number;
}

export interface JobOptions extends TaskOptions {
  readonly name?: string;
  readonly queue?: string;
  readonly definition?: string;
  readonly dependsOn?: readonly string[];
  readonly comment?: string;
  readonly array?: ReturnType<typeof parseArray>;
  readonly failFast?: number;
  readonly canary?: number;
  readonly sequential?: boolean;
  readonly dependsOnEach?: readonly string[];
  readonly onNodeLost?: NonNullable<JobRequest['onNodeLost']>;
}

const PULL = { missing: 'missing', always: 'always', never: 'never' } as const;
const NETWORK = { bridge: 'bridge', host: 'host', none: 'none' } as const;
const ON_NODE_LOST = { wait: 'WAIT', fenced: 'FENCED', rerun: 'RERUN', fail: 'FAIL' } as const;

/** A job is tried at most so often in all. */
const MAX_ATTEMPTS = 10;

export function addTaskOptions(command: Command, env: NodeJS.ProcessEnv): Command {
  return command
    .option('--cpus <number>', 'vCPUs, a hard quota: 2, 0.5, 250m (default: 1)', parseCpus)
    .option('--memory <size>', 'memory, a hard limit: 512m, 2g, 1GiB (default: 512 MiB)', parseMemory)
    .option('--swap <size>', 'swap beyond the memory (default: none)', parseSize)
    .option('--pids <number>', 'processes and threads at once (default: 4096)', parseInteger(1, 4_194_304))
    .option('--named <name=count>', 'named resource, as gpu=1; may be repeated', collectCounts)
    .option('--env <name=value>', 'environment variable; NAME alone passes its value here', collectEnvironment(env))
    .option('--user <login>', 'whom it runs as on the node (default: you)')
    .option('--workdir <directory>', 'absolute path on the node (default: home of the user)')
    .option('--separate-streams', 'stdout and stderr as two logs instead of one in the order written')
    .option('--stop-grace <duration>', 'between SIGTERM and SIGKILL when stopped (default: 30s)', parseSeconds)
    .option('--timeout <duration>', 'that one attempt may run: 90s, 2h (default: no limit)', parseSeconds)
    .option('--retries <number>', 'tries after a failed one (default: 0)', parseInteger(0, MAX_ATTEMPTS - 1))
    .option(
      '--evaluate-on-exit <rule>',
      "which failures are tried again, as 'action=exit,onExitCode=2' or 'action=retry,onStatusReason=Host EC2*'; " +
        'may be repeated, the first that matches decides',
      collectExitRules,
    )
    .option('--image <image>', 'runs in a container of this image; without a command its own')
    .addOption(choice('--pull <when>', 'the image: missing (the default), always or never', PULL))
    .option('--entrypoint <program>', "instead of the image's own")
    .option(
      '--volume <[host:]path[:ro]>',
      'path of the node that the container sees (it then runs as the user of the job), or without one a scratch ' +
        'directory; may be repeated',
      collectMounts,
    )
    .option('--container-user <user>', 'user, user:group, uid or uid:gid in the container (default: of the image)')
    .addOption(choice('--network <mode>', 'of the container: bridge, host or none (default: of the engine)', NETWORK))
    .option('--read-only', 'the root file system of the container cannot be written')
    .option('--init', 'an init process in the container forwards signals and reaps')
    .option('--privileged', 'the container is not contained; only where a node allows it')
    .option('--shm-size <size>', 'size of /dev/shm in the container', parseSize)
    .option('--param <name=value>', 'parameter for Ref::name in the command; may be repeated', collectPairs)
    .option('--tag <name=value>', 'tag; may be repeated', collectPairs);
}

export function addJobOptions(command: Command, env: NodeJS.ProcessEnv): Command {
  command
    .option('-N, --name <name>', 'letters, digits, - and _ (default: made from the command)')
    .option('-q, --queue <name>', 'job queue (default: default)')
    .option('-d, --definition <name>', 'job definition, name or name:revision (default: default)');
  return addTaskOptions(command, env)
    .option('--depends-on <job>', 'start after this job has succeeded; may be repeated', collectList)
    .option('--comment <text>', 'a note for people')
    .addOption(
      choice(
        '--on-node-lost <what>',
        'when its node is lost: wait for it (the default), fenced (it stops itself there, then runs elsewhere), ' +
          'rerun at once (both may run), or fail',
        ON_NODE_LOST,
      ),
    );
}

/** What makes a job an array; `galley run` follows one job and has none of these. */
export function addArrayOptions(command: Command): Command {
  return command
    .option(
      '--array <children>',
      'so many children, or these indices; %N: N at once (100, 1-96:2%10, 1,5,7-9)',
      parseArray,
    )
    .option('--fail-fast <number>', 'start no more children after so many failed', parseInteger(1, 1_000_000))
    .option(
      '--canary <number>',
      'so many children run first, the others only if they succeed',
      parseInteger(1, 1_000_000),
    )
    .option('--sequential', 'each child waits for the one before it')
    .option(
      '--depends-on-each <array>',
      'each child waits for its counterpart in this array; may be repeated',
      collectList,
    );
}

/** `dependsOn` are ids; references on the command line have been looked up. */
export function toJobRequest(
  options: JobOptions,
  command: readonly string[],
  dependsOn: NonNullable<JobRequest['dependsOn']>,
): JobRequest {
  const { array, failFast, canary, sequential, dependsOnEach } = options;
  if (array === undefined && [failFast, canary, sequential, dependsOnEach].some((option) => option !== undefined)) {
    throw new CliError('--fail-fast, --canary, --sequential and --depends-on-each are for arrays', [
      'galley submit --array 100 -- COMMAND ARGUMENTS...',
    ]);
  }
  if (command.length === 0 && options.definition === undefined && options.image === undefined) {
    throw new CliError('a job needs a command, or --definition NAME or --image IMAGE that has one', [
      'galley submit -- COMMAND ARGUMENTS...',
    ]);
  }
  const { name, queue, definition, comment, onNodeLost } = options;
  return {
    ...toTaskRequest(options, command),
    ...(name === undefined ? {} : { jobName: name }),
    ...(queue === undefined ? {} : { jobQueue: queue }),
    ...(definition === undefined ? {} : { jobDefinition: definition }),
    ...(comment === undefined ? {} : { comment }),
    ...(onNodeLost === undefined ? {} : { onNodeLost }),
    ...(dependsOn.length === 0 ? {} : { dependsOn }),
    ...(array === undefined
      ? {}
      : {
          array: {
            ...array,
            ...(failFast === undefined ? {} : { failFastAfter: failFast }),
            ...(canary === undefined ? {} : { canary }),
            ...(sequential === undefined ? {} : { sequential }),
          },
        }),
  };
}

type TaskAndPolicy = TaskRequest &
  Pick<JobRequest, 'attempts' | 'evaluateOnExit' | 'timeoutSeconds' | 'parameters' | 'tags'>;

export function toTaskRequest(options: TaskOptions, command: readonly string[]): TaskAndPolicy {
  const { cpus, memory, swap, pids, named, env, user, workdir, separateStreams } = options;
  const { stopGrace, timeout, retries, evaluateOnExit, param, tag } = options;
  const resources = {
    ...(cpus === undefined ? {} : { vcpus: cpus }),
    ...(memory === undefined ? {} : { memoryBytes: memory }),
    ...(swap === undefined ? {} : { swapBytes: swap }),
    ...(pids === undefined ? {} : { pids }),
    ...(named === undefined ? {} : { named }),
  };
  const container = toContainerRequest(options);
  return {
    command,
    ...(Object.keys(resources).length === 0 ? {} : { resources }),
    ...(env === undefined ? {} : { environment: env }),
    ...(user === undefined ? {} : { user }),
    ...(workdir === undefined ? {} : { workingDirectory: workdir }),
    ...(separateStreams === undefined ? {} : { separateStreams }),
    ...(stopGrace === undefined ? {} : { stopGraceSeconds: stopGrace }),
    ...(timeout === undefined ? {} : { timeoutSeconds: timeout }),
    ...(retries === undefined ? {} : { attempts: retries + 1 }),
    ...(evaluateOnExit === undefined ? {} : { evaluateOnExit }),
    ...(param === undefined ? {} : { parameters: param }),
    ...(tag === undefined ? {} : { tags: tag }),
    ...(Object.keys(container).length === 0 ? {} : { container }),
  };
}

function toContainerRequest(options: TaskOptions): ContainerRequest {
  const { image, pull, entrypoint, volume, containerUser, network, readOnly, init, privileged, shmSize } = options;
  return {
    ...(image === undefined ? {} : { image }),
    ...(pull === undefined ? {} : { pullPolicy: pull }),
    ...(entrypoint === undefined ? {} : { entrypoint: [entrypoint] }),
    ...(volume === undefined ? {} : { mounts: volume }),
    ...(containerUser === undefined ? {} : { user: containerUser }),
    ...(network === undefined ? {} : { networkMode: network }),
    ...(readOnly === undefined ? {} : { readOnlyRoot: readOnly }),
    ...(init === undefined ? {} : { init }),
    ...(privileged === undefined ? {} : { privileged }),
    ...(shmSize === undefined ? {} : { sharedMemoryBytes: shmSize }),
  };
}
