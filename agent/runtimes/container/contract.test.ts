import { existsSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { testRuntime } from '../contract.ts';
import { incarnationOf, testedContainers } from '../testing/containers.ts';
import { noEngine, TestEngine } from '../testing/engine.ts';

const missing = noEngine();

describe.skipIf(missing !== undefined)('containers', () => {
  let engine: TestEngine;
  const environment: Record<string, string> = {};
  beforeAll(async () => {
    engine = await TestEngine.start();
    environment['ENGINE'] = engine.socket;
  }, 90_000);
  afterAll(() => engine?.close(), 60_000);

  testRuntime({
    ...testedContainers(''),
    open: (base) => testedContainers(engine.socket).open(base),
    environment,
    // An engine gives one number for both, and reads two pipes.
    tellsSignals: false,
    ordersStreams: false,
    limits: { memory: true, cpu: true, pids: true },
    leftovers: async (base) => {
      const own = `galley-${incarnationOf(base).slice(0, 8)}-`;
      const containers = (await engine.containers()).filter((name) => name.startsWith(own));
      if (containers.length > 0) return `containers ${containers.join(', ')}`;
      const group = `/sys/fs/cgroup/memory/${own}containers`;
      const groups = existsSync(group) ? readdirSync(group, { withFileTypes: true }) : [];
      return groups.find((entry) => entry.isDirectory())?.name;
    },
  });
});

// Said aloud: what could not be tested is no pass.
if (missing !== undefined) it(`containers are not tested here: ${missing}`, ({ skip }) => skip(missing));
