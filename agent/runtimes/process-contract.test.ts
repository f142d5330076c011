import { join } from 'node:path';
import { ENFORCED } from '../cgroup/cgroup.ts';
import { openCgroups } from '../cgroup/open.ts';
import { testRuntime } from './contract.ts';
import { ProcessRuntime } from './process.ts';
import { groupOf } from './testing/host.ts';

const { limits } = openCgroups('galley-test-probe');

testRuntime({
  name: 'process',
  launch: {},
  environment: {},
  tellsSignals: true,
  ordersStreams: true,
  limits: {
    memory: limits.memory === ENFORCED,
    cpu: limits.cpu === ENFORCED,
    pids: limits.pids === ENFORCED,
  },
  open: (base) => ProcessRuntime.open({ directory: join(base, 'runtime'), cgroups: openCgroups(groupOf(base)) }),
  leftovers: async (base) => {
    const { hierarchy } = openCgroups(groupOf(base));
    // Leaves are kept for the next job; what is in one is not.
    const busy = (hierarchy?.list() ?? []).filter((name) => (hierarchy?.create(name).processes().length ?? 0) > 0);
    return busy.length === 0 ? undefined : `control groups ${busy.join(', ')}`;
  },
});
