import { describe, expect, it } from 'vitest';
import { loadOrder, moduleDependencies } from './kernel-modules.ts';

/** As the linker leaves the section .modinfo, between other bytes. */
function moduleOf(...depends: string[]): Buffer {
  return Buffer.from(`\x7fELF\0license=GPL\0depends=${depends.join(',')}\0name=module\0\xff`, 'latin1');
}

describe('the modules of a kernel', () => {
  it('say what they need', () => {
    expect(moduleDependencies(moduleOf('virtio', 'virtio_ring'))).toEqual(['virtio', 'virtio_ring']);
    expect(moduleDependencies(moduleOf())).toEqual([]);
    expect(moduleDependencies(Buffer.from('no section at all'))).toEqual([]);
  });

  it('are loaded after what they need, once', () => {
    const modules: Record<string, Buffer> = {
      ring: moduleOf(),
      virtio: moduleOf('ring'),
      disk: moduleOf('virtio', 'ring'),
      network: moduleOf('failover', 'virtio'),
      failover: moduleOf(),
    };
    const order = loadOrder(['disk', 'network'], (name) => modules[name] ?? expect.fail(`${name} was not there`));
    expect([...order.keys()]).toEqual(['ring', 'virtio', 'disk', 'failover', 'network']);
  });
});
