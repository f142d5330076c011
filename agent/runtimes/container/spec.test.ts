import { describe, expect, it } from 'vitest';
import { PLAIN_CONTAINER } from '../testing/containers.ts';
import { DEFAULT_LAUNCH, MEBIBYTE } from '../testing/host.ts';
import { containerBody } from './spec.ts';

const launch = { ...DEFAULT_LAUNCH, key: 'k', directory: '/attempts/k', argv: ['true'] };
const parts = { launch, container: PLAIN_CONTAINER, incarnation: 'i', imageId: 'sha256:1', podman: false };
const body = (over: Partial<Parameters<typeof containerBody>[0]> = {}) =>
  containerBody({ ...parts, ...over }) as { HostConfig: Record<string, unknown> } & Record<string, unknown>;

describe('the request that creates a container', () => {
  it('bounds CPU, memory, swap and processes, always', () => {
    const { HostConfig } = body();
    expect(HostConfig).toMatchObject({ NanoCpus: 1_000_000_000, Memory: 64 * MEBIBYTE, PidsLimit: 64 });
    // The engine's figure is memory and swap together: none of the latter.
    expect(HostConfig['MemorySwap']).toBe(64 * MEBIBYTE);
    const limits = { ...DEFAULT_LAUNCH.limits, swapBytes: MEBIBYTE };
    expect(body({ launch: { ...launch, limits } }).HostConfig['MemorySwap']).toBe(65 * MEBIBYTE);
  });

  it('drops capabilities and new privileges, unless the container is privileged', () => {
    expect(body().HostConfig).toMatchObject({
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      Privileged: false,
    });
    const { HostConfig } = body({ container: { ...PLAIN_CONTAINER, privileged: true } });
    expect(HostConfig['CapDrop']).toBeUndefined();
    expect(HostConfig['Privileged']).toBe(true);
  });

  it('never lets the engine start a container by itself', () => {
    expect(body().HostConfig['RestartPolicy']).toEqual({ Name: 'no' });
  });

  it('runs the image’s own command where none is given, and the image that was found, whatever its tag is now', () => {
    expect(body().Cmd).toEqual(['true']);
    expect(body({ launch: { ...launch, argv: [] } })).not.toHaveProperty('Cmd');
    expect(body().Image).toBe('sha256:1');
  });

  it('becomes the job’s user with all its groups where an account is given', () => {
    const account = { name: 'ann', uid: 1000, gid: 100, groups: [100, 7], home: '/', shell: '/bin/sh' };
    expect(body({ account })).toMatchObject({ User: '1000:100', HostConfig: { GroupAdd: ['100', '7'] } });
    expect(body({ container: { ...PLAIN_CONTAINER, user: '5' } })).toMatchObject({ User: '5' });
    expect(body()).not.toHaveProperty('User');
  });

  it('gives mounts of one scratch volume one directory, below the attempt’s', () => {
    const mount = { volume: '../x', target: '/a', readOnly: false };
    const container = { ...PLAIN_CONTAINER, mounts: [mount, { ...mount, target: '/b', readOnly: true }] };
    const [first, second] = body({ container }).HostConfig['Mounts'] as { Source: string }[];
    expect(first?.Source).toMatch(/^\/attempts\/k\/scratch\/[0-9a-f]+$/);
    expect(second).toMatchObject({ Source: first?.Source, Target: '/b', ReadOnly: true });
  });
});
