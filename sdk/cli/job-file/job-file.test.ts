import fc from 'fast-check';
import { expect, it } from 'vitest';
import { TextDocument } from '../document/document.ts';
import { type FileJob, readJobFile } from './job-file.ts';
import { jobIdOf, toRequests } from './requests.ts';

const read = (text: string, env: NodeJS.ProcessEnv = {}) => readJobFile(new TextDocument('jobs.yaml', text), env);
const requests = (jobs: readonly FileJob[]) =>
  toRequests(jobs, 'r', async (names) => names.map((name) => `id of ${name}`));

it('takes what a job says over its definition, that over the defaults, and merges mappings by name', async () => {
  const jobs = read(`
defaults: {queue: night, env: {A: 1, B: two}, retries: 1}
definitions:
  bake: {command: [bake, --all], timeout: 2h, env: {B: 3}}
  deep: {definition: 'base:4', memory: 1g}
jobs:
  - {name: bread, definition: bake, env: {HEAT: 220}, timeout: 90}
  - {name: pie, definition: deep, queue: day, retries: 0}
`);
  expect(await requests(jobs)).toMatchObject([
    {
      jobName: 'bread',
      jobQueue: 'night',
      command: ['bake', '--all'],
      environment: { A: '1', B: '3', HEAT: '220' },
      timeoutSeconds: 90,
      attempts: 2,
    },
    { jobName: 'pie', jobQueue: 'day', jobDefinition: 'base:4', resources: { memoryBytes: 2 ** 30 }, attempts: 1 },
  ]);
  expect((await requests(jobs))[0]).not.toHaveProperty('jobDefinition');
});

it('says fields as the options of submit do, in their units', async () => {
  const jobs = read(
    `jobs:
  - name: all
    command: echo $HOME
    cpus: 250m
    memory: 1.5GiB
    swap: 64m
    pids: 12
    named: {gpu: 2}
    env: [HOME, A=b=c]
    user: alice
    workdir: /srv
    separate_streams: true
    stop_grace: 1m
    param: {x: 007}
    tag: {team: 7}
    comment: hello
    evaluate_on_exit: [{action: exit, on_exit_code: 2}, 'action=retry,onReason=OutOfMemory*']
    on_node_lost: fail`,
    { HOME: '/home/alice' },
  );
  expect(await requests(jobs)).toMatchObject([
    {
      command: ['/bin/sh', '-c', 'echo $HOME'],
      resources: { vcpus: 0.25, memoryBytes: 1.5 * 2 ** 30, swapBytes: 64 * 2 ** 20, pids: 12, named: { gpu: 2 } },
      environment: { HOME: '/home/alice', A: 'b=c' },
      user: 'alice',
      workingDirectory: '/srv',
      separateStreams: true,
      stopGraceSeconds: 60,
      parameters: { x: '007' },
      tags: { team: '7' },
      comment: 'hello',
      evaluateOnExit: [
        { action: 'EXIT', onExitCode: '2' },
        { action: 'RETRY', onReason: 'OutOfMemory*' },
      ],
      onNodeLost: 'FAIL',
    },
  ]);
});

it('reads JSON as well', async () => {
  expect(await requests(read('{"jobs": [{"name": "a", "command": ["true"]}]}'))).toMatchObject([{ jobName: 'a' }]);
});

it('makes dependencies of names, and of jobs submitted before', async () => {
  const jobs = read(`
jobs:
  - {name: c, command: [x], depends_on: [{name: b, type: after_any}, {job: 12}]}
  - {name: b, command: [x], depends_on: a}
  - {name: a, command: [x]}
`);
  const made = await requests(jobs);
  const [a, b] = made.map(({ jobId }) => jobId);
  expect(made.map(({ jobName, dependsOn }) => [jobName, dependsOn])).toEqual([
    ['a', undefined],
    ['b', [a]],
    ['c', [{ jobId: b, type: 'AFTER_ANY' }, 'id of 12']],
  ]);
});

it('puts each job behind those that it depends on, however they are written', () => {
  // Dependencies point to smaller numbers, so there is no circle; the file has them in any order.
  const graph = fc
    .array(fc.array(fc.nat(30), { maxLength: 4 }), { minLength: 1, maxLength: 30 })
    .map((all) => all.map((on, at) => [...new Set(on.filter((each) => each < at))]));
  fc.assert(
    fc.property(graph, fc.infiniteStream(fc.nat()), (all, random) => {
      const shuffled = all.map((on, at) => ({ at, on, key: random.next().value })).toSorted((a, b) => a.key - b.key);
      const text = shuffled.map(({ at, on }) => ({
        name: `j${at}`,
        command: ['x'],
        depends_on: on.map((n) => `j${n}`),
      }));
      const jobs = read(JSON.stringify({ jobs: text }));
      expect(new Set(jobs.map(({ options }) => options.name))).toEqual(new Set(text.map(({ name }) => name)));
      expect(jobs).toHaveLength(text.length);
      for (const [place, job] of jobs.entries()) {
        const names = job.dependsOn.map(({ on }) => {
          if (on.kind !== 'inFile') throw new Error('every dependency is in the file');
          expect(on.place).toBeLessThan(place);
          return jobs[on.place]?.options.name;
        });
        expect(names).toEqual(text.find(({ name }) => name === job.options.name)?.depends_on);
      }
    }),
    { numRuns: 50 },
  );
});

it('reads a chain of a thousand jobs that is written backwards', () => {
  const text = Array.from({ length: 1_000 }, (_, at) => ({
    name: `j${at}`,
    command: ['x'],
    depends_on: at === 999 ? [] : [`j${at + 1}`],
  }));
  expect(read(JSON.stringify({ jobs: text })).at(-1)?.options.name).toBe('j0');
});

const mistakes: readonly (readonly [string, string, RegExp])[] = [
  ['bad syntax', 'jobs: [', /jobs\.yaml:1:\d+: /],
  ['a key said twice', 'jobs:\n - {name: a, name: b}', /:2:\d+: .*unique/i],
  ['no jobs', 'defaults: {}', /must have jobs/],
  ['not a mapping', '- a', /must be a job file: a mapping, got a list/],
  ['no job', 'jobs: []', /:1:7: jobs: must have 1 to 1000 jobs, got 0/],
  [
    'an unknown key',
    'jobs:\n - {cpu: 1, command: [x]}',
    /:2:10: jobs\[0\]\.cpu: is not known in a job; known are .*cpus/,
  ],
  ['an unknown section', 'job: []', /job: is not known in a job file/],
  ['a value out of range', 'jobs:\n - {command: [x], retries: 20}', /:2:28: jobs\[0\]\.retries: .*from 0 to 9, got 20/],
  ['a wrong unit', 'jobs:\n - {command: [x], memory: 2x}', /jobs\[0\]\.memory: A size looks like 512m.*got "2x"/],
  [
    'a name with a space',
    'jobs:\n - {command: [x], name: a b}',
    /jobs\[0\]\.name: must be 1 to 128 letters.*got "a b"/,
  ],
  ['a name twice', 'jobs:\n - {command: [x], name: a}\n - {command: [x], name: a}', /:3:25: .*jobs\[0\] already/],
  [
    'a name in the defaults',
    'defaults: {name: a}\njobs:\n - {command: [x]}',
    /defaults\.name: is not known in defaults/,
  ],
  ['no command', 'jobs:\n - {name: a}', /jobs\[0\]: a job must have a command/],
  ['an empty command', 'jobs:\n - {command: []}', /jobs\[0\]\.command: must have at least one element/],
  [
    'a nobody to wait for',
    'jobs:\n - {command: [x], depends_on: [b]}',
    /depends_on\[0\]: must be the name of a job.*got "b"/,
  ],
  [
    'a wrong kind of waiting',
    'jobs:\n - {command: [x], name: a}\n - {command: [x], depends_on: [{name: a, type: x}]}',
    /type: must be one of sequential, .*got "x"/,
  ],
  [
    'a circle',
    'jobs:\n - {command: [x], name: a, depends_on: b}\n - {command: [x], name: b, depends_on: a}',
    /circle: a -> b -> a/,
  ],
  ['waiting for itself', 'jobs:\n - {command: [x], name: a, depends_on: a}', /circle: a -> a/],
  ['a list for a text', 'jobs:\n - {command: [x], user: [a]}', /user: must be a text, got a list/],
];

it.each(mistakes)('names the place, the rule and the value of %s', (_, text, message) => {
  expect(() => read(text)).toThrow(message);
});

it('shows every mistake at once, in the order of the file', () => {
  const text = 'jobs:\n - {command: [x], pids: 0}\n - {command: [x], cpus: many}\n';
  expect(() => read(text)).toThrow(/jobs\.yaml has mistakes; nothing was done\n {2}jobs\.yaml:2:.*\n {2}jobs\.yaml:3:/);
});

it('gives the same ids for the same request id and place, and others for others', () => {
  expect(jobIdOf('r', 0)).toBe(jobIdOf('r', 0));
  expect(new Set([jobIdOf('r', 0), jobIdOf('r', 1), jobIdOf('s', 0)]).size).toBe(3);
  expect(jobIdOf('r', 0)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});
