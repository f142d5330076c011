import { execa } from 'execa';
import { resolveIdentity } from '../../users/identity.ts';
import type { Account, Lookup } from '../../users/lookup.ts';
import type { AttemptLaunch, ContainerLaunch } from '../runtime.ts';
import { ContainerError } from './texts.ts';

/** A path on a dead mount holds up its own job for so long. */
const LOOK_DEADLINE_MS = 10_000;

export interface ContainerRules {
  readonly lookUp: Lookup;
  readonly agentUid: number;
  readonly allowRoot: boolean;
  /** The node's administrator lets containers be privileged, and name any user beside paths of the host. */
  readonly allowPrivileged: boolean;
}

/**
 * Whom a container runs as. One that sees nothing of the host runs as whom it or its image names. One that sees a path or
 * a device of the host runs as the job's user, with that user's groups: what it can do there is what the user can do
 * without a container. Undefined: as whom container or image name. Throws ContainerError, or UserError for a user that the
 * node does not know.
 */
export async function containerAccount(
  launch: AttemptLaunch,
  container: ContainerLaunch,
  rules: ContainerRules,
): Promise<Account | undefined> {
  if (container.privileged && !rules.allowPrivileged) {
    throw new ContainerError(
      'CannotCreateContainerError',
      'privileged containers are not allowed on this node; its administrator can start the agent with --allow-privileged',
    );
  }
  const paths = [...hostPaths(container), ...container.devices.map(({ hostPath }) => hostPath)];
  if (paths.length === 0) return undefined;
  if (rules.allowPrivileged && container.user !== '') return undefined;
  const { account, switched } = await resolveIdentity(launch.user, rules);
  if (container.user !== '' && !isSame(container.user, account)) {
    throw new ContainerError(
      'CannotCreateContainerError',
      `a container that mounts a path or a device of the host runs as the job's user ${account.name} (${account.uid}:${account.gid}), not as "${container.user}", unless the node's administrator started the agent with --allow-privileged`,
    );
  }
  for (const path of hostPaths(container)) await checkReachable(path, account, switched);
  return account;
}

function hostPaths({ mounts }: ContainerLaunch): string[] {
  return mounts.flatMap(({ hostPath }) => hostPath ?? []);
}

function isSame(user: string, { uid, gid }: Account): boolean {
  return user === `${uid}` || user === `${uid}:${gid}`;
}

/**
 * The engine follows a path as root, into directories that the user may not enter; so whether the user gets there is
 * asked as the user, in a process of its own that a frozen mount may hold up.
 */
async function checkReachable(path: string, account: Account, switched: boolean): Promise<void> {
  const test = ['-e', path];
  const become = [`--reuid=${account.uid}`, `--regid=${account.gid}`, `--groups=${account.groups.join(',')}`, '--'];
  const [program, args] = switched ? ['setpriv', [...become, 'test', ...test]] : ['test', test];
  const { exitCode, timedOut } = await execa(program, args, {
    reject: false,
    timeout: LOOK_DEADLINE_MS,
    forceKillAfterDelay: 500,
    stdin: 'ignore',
    extendEnv: false,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  });
  if (timedOut) throw new ContainerError('CannotCreateContainerError', `host path "${path}" does not answer`);
  if (exitCode !== 0) {
    throw new ContainerError(
      'CannotCreateContainerError',
      `host path "${path}" does not exist or cannot be reached by user ${account.name}`,
    );
  }
}
