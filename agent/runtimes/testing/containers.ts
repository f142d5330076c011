import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { ContainerRuntime, type ContainerRuntimeOptions } from '../container/container.ts';
import type { ContainerLaunch } from '../runtime.ts';
import { groupOf, type Tested } from './host.ts';

/** What {@link TestEngine} has under this name: busybox and nothing else. */
export const TEST_IMAGE = 'galley-test:busybox';

/** A container that asks for nothing. */
export const PLAIN_CONTAINER: ContainerLaunch = {
  image: TEST_IMAGE,
  pullPolicy: 'never',
  entrypoint: [],
  mounts: [],
  ulimits: [],
  devices: [],
  tmpfs: [],
  init: false,
  readOnlyRoot: false,
  privileged: false,
  networkMode: 'none',
  user: '',
};

/** An agent's state directory has one for its life. */
export function incarnationOf(base: string): string {
  return createHash('sha256').update(groupOf(base)).digest('hex').slice(0, 32);
}

/** Containers of the engine on this socket. A base is an agent's state directory: the incarnation follows from it. */
export function testedContainers(
  socket: string,
  options: Partial<ContainerRuntimeOptions> = {},
): Tested<ContainerRuntime> {
  return {
    name: 'container',
    launch: { container: PLAIN_CONTAINER },
    open: (base) =>
      ContainerRuntime.open({
        directory: join(base, 'runtime'),
        incarnation: incarnationOf(base),
        sockets: [socket],
        ...options,
      }),
  };
}
