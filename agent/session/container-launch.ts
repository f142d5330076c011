import type { TaskSpec } from '@galley/proto';
import type { ContainerLaunch } from '../runtimes/runtime.ts';

/** What a device may be used for when the job does not say. */
const DEVICE_PERMISSIONS = ['read', 'write', 'mknod'];

/** Why this agent cannot run such a container as it asks to be run, or undefined. */
export function containerFault(task: TaskSpec): string | undefined {
  const { container } = task;
  if (container === undefined || container.image === '') return 'task.container.image: required';
  if (container.registryCredentials !== '') return 'this agent does not support task.container.registry_credentials';
  const volumes = new Set(task.volumes.map(({ name }) => name));
  const unknown = container.mountPoints.find(({ sourceVolume }) => !volumes.has(sourceVolume));
  if (unknown !== undefined) return `task.container.mount_points: there is no volume "${unknown.sourceVolume}"`;
  return undefined;
}

/** Of a task in which {@link containerFault} found nothing. */
export function containerLaunch(task: TaskSpec): ContainerLaunch {
  const { container, volumes } = task;
  const hostPaths = new Map(volumes.map(({ name, hostPath }) => [name, hostPath]));
  const pullPolicy = container?.pullPolicy;
  return {
    image: container?.image ?? '',
    pullPolicy: pullPolicy === 'always' || pullPolicy === 'never' ? pullPolicy : 'missing',
    entrypoint: container?.entrypoint ?? [],
    mounts: (container?.mountPoints ?? []).map(({ sourceVolume, containerPath, readOnly }) => {
      const hostPath = hostPaths.get(sourceVolume) ?? '';
      return {
        volume: sourceVolume,
        ...(hostPath === '' ? {} : { hostPath }),
        target: containerPath === '' ? hostPath : containerPath,
        readOnly,
      };
    }),
    ulimits: (container?.ulimits ?? []).map(({ name, softLimit, hardLimit }) => ({
      name,
      soft: Number(softLimit),
      hard: Number(hardLimit),
    })),
    devices: (container?.devices ?? []).map(({ hostPath, containerPath, permissions }) => ({
      hostPath,
      target: containerPath === '' ? hostPath : containerPath,
      permissions: (permissions.length === 0 ? DEVICE_PERMISSIONS : permissions).map((one) => one[0] ?? '').join(''),
    })),
    tmpfs: (container?.tmpfs ?? []).map(({ containerPath, sizeBytes, mountOptions }) => ({
      target: containerPath,
      options: [...(sizeBytes > 0n ? [`size=${sizeBytes}`] : []), ...mountOptions].join(','),
    })),
    ...(container?.sharedMemoryBytes === undefined ? {} : { sharedMemoryBytes: Number(container.sharedMemoryBytes) }),
    init: container?.initProcess ?? false,
    readOnlyRoot: container?.readOnlyRoot ?? false,
    privileged: container?.privileged ?? false,
    networkMode: container?.networkMode ?? '',
    user: container?.user ?? '',
  };
}
