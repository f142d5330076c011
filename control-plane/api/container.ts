import { create } from '@bufbuild/protobuf';
import { type ContainerOptions, ContainerOptionsSchema, RuntimeKind, type TaskSpec, type Volume } from '@galley/proto';
import { invalid, notBuilt } from './errors.ts';

/** As Docker has them: repository, tag, digest. */
const IMAGE = /^[A-Za-z0-9][A-Za-z0-9_.:/@#-]*$/;
const PULL_POLICIES: readonly string[] = ['', 'always', 'missing', 'never'];
const NETWORK_MODES: readonly string[] = ['', 'bridge', 'host', 'none'];
const PERMISSIONS: readonly string[] = ['read', 'write', 'mknod'];
const ULIMIT = /^[a-z]{1,32}$/;
/** A name or an id, of a user and of a group. */
const USER = /^([A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?)?$/;

/** Whether a task runs in a container: asked for, or implied by an image. */
export function wantsContainer(
  runtime: TaskSpec['runtime'] | undefined,
  container: ContainerOptions | undefined,
): boolean {
  if (runtime === RuntimeKind.CONTAINER) return true;
  return (runtime ?? RuntimeKind.UNSPECIFIED) === RuntimeKind.UNSPECIFIED && (container?.image ?? '') !== '';
}

/** The definition's options overridden field by field; lists as a whole where they are not empty. */
export function mergeContainer(
  template: ContainerOptions | undefined,
  mine: ContainerOptions | undefined,
): ContainerOptions | undefined {
  if (template === undefined || mine === undefined) return mine ?? template;
  const merged = create(ContainerOptionsSchema, template);
  return Object.assign({}, merged, {
    image: mine.image || template.image,
    pullPolicy: mine.pullPolicy || template.pullPolicy,
    entrypoint: listOf(template.entrypoint, mine.entrypoint),
    mountPoints: listOf(template.mountPoints, mine.mountPoints),
    ulimits: listOf(template.ulimits, mine.ulimits),
    devices: listOf(template.devices, mine.devices),
    tmpfs: listOf(template.tmpfs, mine.tmpfs),
    ...optional('sharedMemoryBytes', mine.sharedMemoryBytes ?? template.sharedMemoryBytes),
    ...optional('initProcess', mine.initProcess ?? template.initProcess),
    ...optional('readOnlyRoot', mine.readOnlyRoot ?? template.readOnlyRoot),
    ...optional('privileged', mine.privileged ?? template.privileged),
    networkMode: mine.networkMode || template.networkMode,
    registryCredentials: mine.registryCredentials || template.registryCredentials,
    user: mine.user || template.user,
  });
}

/** Throws what is wrong with a template or an override by itself. */
export function validateContainer({ container, volumes }: TaskSpec): void {
  volumes.forEach(({ name, hostPath }, at) => {
    if (hostPath !== '') absolute(`task.volumes[${at}].host_path`, hostPath);
    if (volumes.findIndex((other) => other.name === name) !== at) {
      throw invalid(`task.volumes[${at}].name`, `must be unique, got "${name}" twice`);
    }
  });
  if (container === undefined) return;
  if (container.registryCredentials !== '') throw notBuilt('task.container.registry_credentials');
  const { image, pullPolicy, networkMode, user } = container;
  if (image !== '' && !IMAGE.test(image)) {
    throw invalid('task.container.image', `must be the name of an image, got "${image}"`);
  }
  oneOf('task.container.pull_policy', pullPolicy, PULL_POLICIES);
  oneOf('task.container.network_mode', networkMode, NETWORK_MODES);
  if (!USER.test(user)) throw invalid('task.container.user', `must be user, user:group, uid or uid:gid, got "${user}"`);
  container.mountPoints.forEach(({ containerPath }, at) => {
    if (containerPath !== '') absolute(`task.container.mount_points[${at}].container_path`, containerPath);
  });
  container.ulimits.forEach(({ name, softLimit, hardLimit }, at) => {
    const field = `task.container.ulimits[${at}]`;
    if (!ULIMIT.test(name)) throw invalid(`${field}.name`, `must be the name of a limit as nofile, got "${name}"`);
    if (hardLimit >= 0n && softLimit > hardLimit) {
      throw invalid(`${field}.soft_limit`, `must be at most the hard limit ${hardLimit}, got ${softLimit}`);
    }
  });
  container.devices.forEach(({ hostPath, containerPath, permissions }, at) => {
    absolute(`task.container.devices[${at}].host_path`, hostPath);
    if (containerPath !== '') absolute(`task.container.devices[${at}].container_path`, containerPath);
    for (const one of permissions) oneOf(`task.container.devices[${at}].permissions`, one, PERMISSIONS);
  });
  container.tmpfs.forEach(({ containerPath, sizeBytes }, at) => {
    absolute(`task.container.tmpfs[${at}].container_path`, containerPath);
    if (sizeBytes < 0n) throw invalid(`task.container.tmpfs[${at}].size_bytes`, `must be 0 or more, got ${sizeBytes}`);
  });
  const { sharedMemoryBytes: shared } = container;
  if (shared !== undefined && shared <= 0n) {
    throw invalid('task.container.shared_memory_bytes', `must be more than 0, got ${shared}`);
  }
}

/** Throws what is wrong once definition and overrides are put together. */
export function checkResolvedContainer(
  runtime: TaskSpec['runtime'] | undefined,
  container: ContainerOptions | undefined,
  volumes: readonly Volume[],
): void {
  if (!wantsContainer(runtime, container)) {
    // Nothing that a job asks for is left out silently.
    if (volumes.length > 0) throw notBuilt('task.volumes of a job without task.container.image');
    return;
  }
  if ((container?.image ?? '') === '') throw invalid('task.container.image', 'is required for a job in a container');
  container?.mountPoints.forEach(({ sourceVolume, containerPath }, at) => {
    const volume = volumes.find(({ name }) => name === sourceVolume);
    const field = `task.container.mount_points[${at}]`;
    if (volume === undefined) throw invalid(`${field}.source_volume`, `there is no volume "${sourceVolume}"`);
    if (containerPath === '' && volume.hostPath === '') {
      throw invalid(`${field}.container_path`, `is required: volume "${sourceVolume}" has no host path`);
    }
  });
}

function absolute(field: string, path: string): void {
  if (!path.startsWith('/') || path.includes('\0')) throw invalid(field, `must be an absolute path, got "${path}"`);
}

function oneOf(field: string, value: string, known: readonly string[]): void {
  if (known.includes(value)) return;
  throw invalid(field, `must be one of ${known.filter((one) => one !== '').join(', ')}, got "${value}"`);
}

function listOf<T>(template: T[], mine: T[]): T[] {
  return mine.length > 0 ? mine : template;
}

function optional<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, V>);
}
