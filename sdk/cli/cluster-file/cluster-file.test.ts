import { RegisterJobDefinitionRequestSchema } from '@galley/proto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { GalleyClient } from '../../client.ts';
import { toDefinitionRequest } from '../../definitions.ts';
import { GalleyError } from '../../errors.ts';
import { toPlain } from '../../plain.ts';
import type { ComputeEnvironment, JobDefinition, JobQueue } from '../../types.ts';
import { TextDocument } from '../document/document.ts';
import { applyChanges } from './apply-changes.ts';
import { type DefinitionState, readClusterFile } from './cluster-file.ts';
import { exportCluster } from './export.ts';
import { type Change, type ClusterState, foreseeRefusals, planChanges } from './plan.ts';

const read = (text: string) => readClusterFile(new TextDocument('cluster.yaml', text), {});

const environment = (name: string, more: Partial<ComputeEnvironment> = {}) =>
  ({ name, state: 'ENABLED', placementStrategy: 'PACK', nodes: 0, version: 1, ...more }) as ComputeEnvironment;
const queue = (name: string, more: Partial<JobQueue> = {}) =>
  ({
    name,
    state: 'ENABLED',
    priority: 0,
    computeEnvironments: ['default'],
    version: 1,
    ...more,
  }) as JobQueue;
const definition = (name: string, state: DefinitionState = {}) =>
  ({
    ...toPlain(RegisterJobDefinitionRequestSchema, toDefinitionRequest({ ...state, name }, '')),
    revision: 3,
    active: true,
    createdAtMs: 5,
  }) as unknown as JobDefinition;

const CLUSTER: ClusterState = {
  environments: [environment('default', { nodes: 2 }), environment('old')],
  definitions: [definition('default'), definition('bake', { command: ['bake'], resources: { vcpus: 0.25 } })],
  queues: [
    queue('default', { priority: 1 }),
    queue('night', {
      liveJobs: { submitted: 0, pending: 0, runnable: 3, starting: 0, running: 0, succeeded: 0, failed: 0 },
    }),
  ],
};
const titles = (changes: readonly Change[]) =>
  changes.map(({ action, kind, name, details }) => `${action} ${kind} ${name}${details && `: ${details}`}`);

describe('a plan', () => {
  it('is empty for what was exported, with pruning and without', () => {
    const { text, unsaid } = exportCluster(CLUSTER);
    expect(unsaid).toEqual([]);
    expect(planChanges(read(text), CLUSTER, true)).toEqual([]);
  });

  it('shows what becomes different, in an order that can be done', () => {
    const file = read(`
queues:
  default: {priority: 5}
  day: {environments: [gpu, default]}
definitions:
  bake: {command: [bake], cpus: 0.5}
  new: {command: [x]}
environments:
  default: {strategy: spread, enabled: false}
  gpu:
`);
    expect(titles(planChanges(file, CLUSTER, true))).toEqual([
      'update environment default: strategy pack -> spread, enabled true -> false',
      'create environment gpu: strategy pack, enabled true',
      'update definition bake: a revision after 3',
      'create definition new',
      'update queue default: priority 1 -> 5',
      'create queue day: priority 0, enabled true, environments [gpu, default]',
      'delete queue night: 3 jobs in it, which would end with it',
      'delete environment old',
      'delete definition default: every active revision is deregistered',
    ]);
  });

  it('leaves alone the kinds that the file does not have', () => {
    expect(titles(planChanges(read('queues: {default: {priority: 1}}'), CLUSTER, true))).toEqual([
      'delete queue night: 3 jobs in it, which would end with it',
    ]);
    expect(planChanges(read('{}'), CLUSTER, true)).toEqual([]);
  });

  it('foresees what would be refused in the middle', () => {
    const file = read('environments: {gpu: {}}\nqueues: {day: {environments: [gone]}}');
    expect(foreseeRefusals(file, CLUSTER, false)).toEqual(['queue day: there would be no environment "gone"']);
    expect(foreseeRefusals(read('environments: {}'), CLUSTER, true)).toEqual([
      'queue default: there would be no environment "default"',
      'queue night: there would be no environment "default"',
      'environment default cannot be deleted: 2 nodes belong to it',
    ]);
  });
});

it.each([
  ['an unknown section', 'queue: {}', /:1:\d+: queue: is not known in a cluster file/],
  ['an unknown key', 'queues: {a: {prio: 1}}', /queues\.a\.prio: is not known in a queue; known are priority/],
  [
    'a number out of range',
    'queues:\n  a: {priority: -1}',
    /:2:17: queues\.a\.priority: must be a whole number from 0 to 1000000, got -1/,
  ],
  ['a wrong word', 'environments: {a: {strategy: fill}}', /strategy: must be one of pack, spread, got "fill"/],
  ['no environments', 'queues: {a: {environments: []}}', /must have 1 to 64 environments, got 0/],
  ['a bad name', 'queues: {a b: {}}', /queues\.a b: a name must be 1 to 128 letters.* got "a b"/],
  ['a text for a truth value', 'environments: {a: {enabled: "yes"}}', /enabled: must be true or false, got "yes"/],
])('a file names the place, the rule and the value of %s', (_, text, message) => {
  expect(() => read(text)).toThrow(message);
});

it('says every definition as it is, or leaves the definitions out', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 12 });
  const some = text.filter((each) => each !== '');
  const name = fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/);
  const states: fc.Arbitrary<DefinitionState> = fc.record(
    {
      command: fc.array(text, { minLength: 1, maxLength: 4 }),
      environment: fc.dictionary(name, some, { maxKeys: 3 }),
      resources: fc.record(
        {
          vcpus: fc.integer({ min: 1, max: 1e6 }).map((milli) => milli / 1000),
          memoryBytes: fc.integer({ min: 4 * 1024 ** 2, max: 2 ** 45 }),
          swapBytes: fc.integer({ min: 1, max: 2 ** 45 }),
          pids: fc.integer({ min: 1, max: 4_194_304 }),
          named: fc.dictionary(name, fc.integer({ min: 1, max: 9 }), { maxKeys: 2 }),
        },
        { requiredKeys: [] },
      ),
      user: name,
      workingDirectory: name.map((each) => `/${each}`),
      separateStreams: fc.constant(true),
      stopGraceSeconds: fc.integer({ min: 1, max: 86_400 }),
      timeoutSeconds: fc.integer({ min: 1, max: 1e6 }),
      attempts: fc.integer({ min: 1, max: 10 }),
      parameters: fc.dictionary(name, some, { maxKeys: 3 }),
      tags: fc.dictionary(name, some, { maxKeys: 3 }),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(states, (state) => {
      const cluster: ClusterState = { environments: [], queues: [], definitions: [definition('d', state)] };
      const exported = exportCluster(cluster);
      expect(exported.unsaid).toEqual([]);
      expect(planChanges(read(exported.text), cluster, true)).toEqual([]);
    }),
    { numRuns: 60 },
  );
  const container = { ...definition('c'), multiNode: { numNodes: 2 } } as unknown as JobDefinition;
  const { text: file, unsaid } = exportCluster({ ...CLUSTER, definitions: [container] });
  expect(unsaid).toEqual(['c']);
  expect(read(file).definitions).toBeUndefined();
});

describe('applying', () => {
  const client = {} as GalleyClient;
  const log: string[] = [];
  type Fate = { readonly fails?: boolean; readonly undo?: 'works' | 'fails' | 'none' };
  const change = (name: string, { fails = false, undo = 'works' }: Fate = {}): Change => ({
    ...{ action: undo === 'none' ? 'delete' : 'create', kind: 'queue', name, details: '' },
    apply: async () => {
      log.push(`do ${name}`);
      if (fails) throw new Error('the disk is on fire');
      if (undo === 'none') return undefined;
      return async () => {
        log.push(`undo ${name}`);
        if (undo === 'fails') throw new Error('cannot');
      };
    },
  });
  const said = async (...changes: Change[]) => {
    log.length = 0;
    const error: unknown = await applyChanges(client, changes).catch((thrown: unknown) => thrown);
    return error instanceof Error ? error.message : '';
  };

  it('undoes what was done when a later step fails, newest first', async () => {
    expect(await said(change('a'), change('b'), change('c', { fails: true }))).toBe(
      'create queue c failed: the disk is on fire\n  everything before it was undone; nothing has changed',
    );
    expect(log).toEqual(['do a', 'do b', 'do c', 'undo b', 'undo a']);
  });

  it('says exactly what stands when something cannot be undone', async () => {
    expect(await said(change('a', { undo: 'fails' }), change('b'), change('c', { fails: true }))).toBe(
      'create queue c failed: the disk is on fire\n  done before it, and kept:\n    create queue a\n  the rest was undone',
    );
    expect(await said(change('a'), change('b', { undo: 'none' }), change('c', { fails: true, undo: 'none' }))).toBe(
      'delete queue c failed: the disk is on fire\n  done before it, and kept:\n    create queue a\n    delete queue b',
    );
    expect(log).toEqual(['do a', 'do b', 'do c']);
  });

  it('undoes nothing when it is not known whether the last step was done', async () => {
    const lost: Change = {
      ...change('b'),
      apply: () => Promise.reject(new GalleyError('OUTCOME_UNKNOWN', 'the answer was lost')),
    };
    expect(await said(change('a'), lost)).toMatch(/answer was lost\n {2}done before it, and kept:\n {4}create queue a/);
    expect(log).toEqual(['do a']);
  });
});
