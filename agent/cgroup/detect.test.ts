import { describe, expect, it } from 'vitest';
import { parseHierarchies } from './detect.ts';

describe('hierarchies', () => {
  it('of v1 are found by controller, where each is mounted, with a v2 tree beside them', () => {
    const found = parseHierarchies(
      [
        '31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755',
        '32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct',
        '35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory',
        '40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd',
        '41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw',
      ].join('\n'),
      ['9:name=systemd:/', '4:memory:/a/b', '1:cpu,cpuacct:/', '0::/x:y'].join('\n'),
    );
    expect([...found.v1]).toEqual([
      ['cpu', { directory: '/sys/fs/cgroup/cpu,cpuacct', own: '/' }],
      ['cpuacct', { directory: '/sys/fs/cgroup/cpu,cpuacct', own: '/' }],
      ['memory', { directory: '/sys/fs/cgroup/memory', own: '/a/b' }],
    ]);
    expect(found.v2).toEqual({ directory: '/sys/fs/cgroup/unified', own: '/x:y' });
  });

  it('of v2 alone are one', () => {
    const found = parseHierarchies(
      '29 22 0:26 / /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,nsdelegate',
      '0::/user.slice/user-1000.slice/user@1000.service/app.slice/galley.service',
    );
    expect(found.v1.size).toBe(0);
    expect(found.v2?.own).toBe('/user.slice/user-1000.slice/user@1000.service/app.slice/galley.service');
  });

  it('seen from a container are cut at what is mounted there, and blanks in paths are read back', () => {
    const found = parseHierarchies(
      '29 22 0:26 /docker/abc /mnt/with\\040blank ro - cgroup cgroup rw,memory',
      '4:memory:/docker/abc/inner',
    );
    expect(found.v1.get('memory')).toEqual({ directory: '/mnt/with blank', own: '/inner' });
  });
});
