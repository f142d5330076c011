import { join } from 'node:path';
import type { Account } from '../../users/lookup.ts';
import type { AttemptLaunch, ContainerLaunch, ContainerMount } from '../runtime.ts';

/** Labels by which an agent finds what is its own, also after everything in its memory is gone. */
export const LABEL_KEY = 'galley.attempt';
export const LABEL_INCARNATION = 'galley.incarnation';

/** Jobs are what the host's OOM killer shall take first. */
const OOM_SCORE_ADJUST = 500;
/** The kernel's floor, and the engines'. */
const MINIMUM_MILLI_VCPU = 10;
/** The engine keeps what a container writes until the agent has copied it; this is no limit that a job should meet. */
const ENGINE_LOG_BYTES = '1024g';

export interface ContainerParts {
  readonly launch: AttemptLaunch;
  readonly container: ContainerLaunch;
  readonly incarnation: string;
  /** The image's own id: a tag that is moved meanwhile changes nothing. */
  readonly imageId: string;
  /** Whom it runs as when that is the job's user; undefined: whom container or image name. */
  readonly account?: Account;
  /** The control group that holds the container; undefined: the engine's own. */
  readonly cgroupParent?: string;
  readonly podman: boolean;
}

/** Where the files of a scratch volume are, below the attempt's directory. */
export function scratchDirectory(attemptDirectory: string, { volume }: ContainerMount): string {
  return join(attemptDirectory, 'scratch', Buffer.from(volume).toString('hex').slice(0, 128));
}

/** The body of the engine's `POST /containers/create`. Pure. */
export function containerBody(parts: ContainerParts): Record<string, unknown> {
  const { launch, container, account } = parts;
  const { limits } = launch;
  const user = account === undefined ? container.user : `${account.uid}:${account.gid}`;
  return {
    Image: parts.imageId,
    ...(container.entrypoint.length === 0 ? {} : { Entrypoint: container.entrypoint }),
    ...(launch.argv.length === 0 ? {} : { Cmd: launch.argv }),
    Env: Object.entries(launch.environment).map(([name, value]) => `${name}=${value}`),
    ...(launch.workingDirectory === undefined ? {} : { WorkingDir: launch.workingDirectory }),
    ...(user === '' ? {} : { User: user }),
    Labels: { [LABEL_KEY]: launch.key, [LABEL_INCARNATION]: parts.incarnation },
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    OpenStdin: false,
    Tty: false,
    HostConfig: {
      NanoCpus: Math.max(limits.milliVcpu, MINIMUM_MILLI_VCPU) * 1_000_000,
      Memory: limits.memoryBytes,
      MemorySwap: limits.memoryBytes + limits.swapBytes,
      PidsLimit: limits.pids,
      OomScoreAdj: OOM_SCORE_ADJUST,
      ...(parts.cgroupParent === undefined ? {} : { CgroupParent: parts.cgroupParent }),
      ...(account === undefined ? {} : { GroupAdd: account.groups.map(String) }),
      Mounts: container.mounts.map((mount) => ({
        Type: 'bind',
        Source: mount.hostPath ?? scratchDirectory(launch.directory, mount),
        Target: mount.target,
        ReadOnly: mount.readOnly,
      })),
      Devices: container.devices.map(({ hostPath, target, permissions }) => ({
        PathOnHost: hostPath,
        PathInContainer: target,
        CgroupPermissions: permissions,
      })),
      Tmpfs: Object.fromEntries(container.tmpfs.map(({ target, options }) => [target, options])),
      Ulimits: container.ulimits.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })),
      ...(container.sharedMemoryBytes === undefined ? {} : { ShmSize: container.sharedMemoryBytes }),
      Init: container.init,
      ReadonlyRootfs: container.readOnlyRoot,
      Privileged: container.privileged,
      ...(container.privileged ? {} : { CapDrop: ['ALL'], SecurityOpt: ['no-new-privileges'] }),
      ...(container.networkMode === '' ? {} : { NetworkMode: container.networkMode }),
      RestartPolicy: { Name: 'no' },
      LogConfig: logConfig(parts.podman),
    },
  };
}

/** `local` keeps every byte; `json-file` replaces what is not UTF-8. Podman knows neither by that name. */
function logConfig(podman: boolean): Record<string, unknown> {
  if (podman) return { Type: 'k8s-file', Config: {} };
  return { Type: 'local', Config: { 'max-size': ENGINE_LOG_BYTES, 'max-file': '1', compress: 'false' } };
}
