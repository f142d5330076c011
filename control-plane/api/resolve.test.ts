import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  JobDefinitionSchema,
  OnNodeLost as OnNodeLostMessage,
  RetryAction,
  SubmitJobRequestSchema,
  TaskSpecSchema,
} from '@galley/proto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OnNodeLost } from '../core/types.ts';
import { planJob, resolveTask, timeoutSeconds } from './resolve.ts';

const request = (init: MessageInitShape<typeof SubmitJobRequestSchema> = {}) => create(SubmitJobRequestSchema, init);
const definition = (init: MessageInitShape<typeof JobDefinitionSchema> = {}) => create(JobDefinitionSchema, init);
const name = fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/);
const text = fc.string({ maxLength: 12 });
const plain = text.filter((value) => !value.includes('Ref::'));

describe('defaults', () => {
  it('fills in what neither request nor definition says', () => {
    const plan = planJob(request({ task: { command: ['true'] } }), definition(), 'ann');
    expect(plan).toEqual({
      user: 'ann',
      sizes: { milliVcpu: 1000, memoryBytes: 512 * 2 ** 20, swapBytes: 0, pids: 4096, named: [] },
      requirements: { milliVcpu: 1000, memoryBytes: 512 * 2 ** 20, named: [], features: [] },
      retry: { attempts: 1, rules: [] },
      onNodeLost: OnNodeLost.wait,
      priority: 0,
    });
    const task = resolveTask(request({ task: { command: ['true'] } }), definition(), 'ann');
    expect(task).toMatchObject({ command: ['true'], stopGraceSeconds: 30, separateStreams: false });
    expect(task.runAs?.user).toBe('ann');
    expect(task.resources).toMatchObject({ milliVcpu: 1000n, memoryBytes: 2n ** 29n, swapBytes: 0n, pids: 4096 });
  });
});

describe('the request over the definition', () => {
  it('replaces resources by kind and named resources by name', () => {
    const plan = planJob(
      request({ task: { resources: { memoryBytes: 2n ** 30n, named: [{ name: 'gpu', count: 2n }] } } }),
      definition({
        task: {
          resources: {
            milliVcpu: 250n,
            memoryBytes: 2n ** 24n,
            named: [
              { name: 'licence', count: 1n },
              { name: 'gpu', count: 1n },
            ],
          },
        },
      }),
      'ann',
    );
    expect(plan.requirements).toEqual({
      milliVcpu: 250,
      memoryBytes: 2 ** 30,
      named: [
        { name: 'gpu', count: 2 },
        { name: 'licence', count: 1 },
      ],
      features: [],
    });
  });

  it('merges the environment by name and drops what is empty', () => {
    const task = resolveTask(
      request({ task: { environment: { B: 'mine', C: '', D: 'd' } } }),
      definition({ task: { environment: { A: 'a', B: 'theirs', C: 'c', E: '' } } }),
      'ann',
    );
    expect(task.environment).toEqual({ A: 'a', B: 'mine', D: 'd' });
  });

  it('replaces lists, messages and time-outs as a whole', () => {
    const template = definition({
      task: { command: ['a', 'b'], runAs: { user: 'bob', groups: ['g'] }, stopGraceSeconds: 5, separateStreams: true },
      timeout: { attemptDurationSeconds: 60n },
      schedulingPriority: 7,
      retryStrategy: { attempts: 3 },
    });
    const inherited = resolveTask(request(), template, 'ann');
    expect(inherited).toMatchObject({ command: ['a', 'b'], stopGraceSeconds: 5, separateStreams: true });
    expect(inherited.runAs).toMatchObject({ user: 'bob', groups: ['g'] });
    expect(planJob(request(), template, 'ann')).toMatchObject({ user: 'bob', priority: 7, retry: { attempts: 3 } });
    expect(timeoutSeconds(request(), template)).toBe(60n);
    const mine = request({
      task: { command: ['c'], runAs: { user: 'eve' }, stopGraceSeconds: 0, separateStreams: false },
      timeout: { attemptDurationSeconds: 5n },
      schedulingPriority: 0,
      retryStrategy: { attempts: 1 },
    });
    const overridden = resolveTask(mine, template, 'ann');
    expect(overridden).toMatchObject({ command: ['c'], stopGraceSeconds: 0, separateStreams: false });
    expect(overridden.runAs).toMatchObject({ user: 'eve', groups: [] });
    expect(planJob(mine, template, 'ann')).toMatchObject({ user: 'eve', priority: 0, retry: { attempts: 1 } });
    expect(timeoutSeconds(mine, template)).toBe(5n);
  });

  it('plans the very sizes and user that it resolves, whatever is given', () => {
    const resources = fc.record(
      {
        milliVcpu: fc.bigInt(1n, 10_000n),
        memoryBytes: fc.bigInt(4_194_304n, 2n ** 40n),
        swapBytes: fc.bigInt(0n, 2n ** 30n),
        pids: fc.integer({ min: 1, max: 5000 }),
        named: fc.uniqueArray(fc.record({ name, count: fc.bigInt(1n, 9n) }), { selector: (r) => r.name, maxLength: 3 }),
      },
      { requiredKeys: [] },
    );
    const task = fc.record(
      { command: fc.array(plain, { maxLength: 3 }), resources, runAs: fc.record({ user: fc.constantFrom('', 'bob') }) },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(task, task, (mine, theirs) => {
        const [req, def] = [request({ task: mine }), definition({ task: theirs })];
        const before = toBinary(SubmitJobRequestSchema, req);
        const plan = planJob(req, def, 'ann');
        const resolved = resolveTask(req, def, 'ann');
        expect(resolved.runAs?.user).toBe(plan.user);
        expect(Number(resolved.resources?.milliVcpu)).toBe(plan.requirements.milliVcpu);
        expect(Number(resolved.resources?.memoryBytes)).toBe(plan.requirements.memoryBytes);
        expect(resolved.resources?.named.map((r) => ({ name: r.name, count: Number(r.count) }))).toEqual(
          plan.requirements.named,
        );
        expect(toBinary(TaskSpecSchema, resolveTask(req, def, 'ann'))).toEqual(toBinary(TaskSpecSchema, resolved));
        expect(toBinary(SubmitJobRequestSchema, req)).toEqual(before);
      }),
    );
  });
});

describe('parameters', () => {
  const command = (elements: string[], mine: Record<string, string>, theirs: Record<string, string> = {}) =>
    resolveTask(request({ parameters: mine, task: { command: elements } }), definition({ parameters: theirs }), 'ann')
      .command;

  it('replaces whole elements and parts of elements; the request wins', () => {
    expect(
      command(['Ref::in', '--out=Ref::out.txt', 'Ref::a:Ref::b'], { in: 'x', a: '1' }, { in: 'y', out: 'o', b: '2' }),
    ).toEqual(['x', '--out=o.txt', '1:2']);
    expect(command(['Ref::dotted.name'], { 'dotted.name': 'v' })).toEqual(['v']);
  });

  it('refuses a reference without a parameter in the words of AWS Batch, at submit too', () => {
    const missing = 'Unable to substitute value. No parameter found for reference nope';
    expect(() => command(['Ref::nope'], {})).toThrow(missing);
    expect(() => planJob(request({ task: { command: ['a=Ref::nope'] } }), definition(), 'ann')).toThrow(missing);
    expect(() => command(['Ref::toString'], {})).toThrow('reference toString');
  });

  it('leaves every command without references as it is', () => {
    fc.assert(
      fc.property(fc.array(plain), (elements) => {
        expect(command(elements, { a: 'b' })).toEqual(elements);
      }),
    );
  });

  it('puts every value in place once, whatever the value looks like', () => {
    fc.assert(
      fc.property(fc.dictionary(name, text, { minKeys: 1, noNullPrototype: true }), (parameters) => {
        const names = Object.keys(parameters);
        expect(
          command(
            names.map((key) => `Ref::${key}`),
            parameters,
          ),
        ).toEqual(names.map((key) => parameters[key]));
        expect(
          command(
            names.map((key) => `<Ref::${key}>`),
            parameters,
          ),
        ).toEqual(names.map((key) => `<${parameters[key]}>`));
      }),
    );
  });
});

describe('containers', () => {
  it('take from the definition what the request does not say, field by field', () => {
    const template = definition({
      task: {
        container: {
          image: 'a:1',
          pullPolicy: 'never',
          initProcess: true,
          mountPoints: [{ sourceVolume: 'data', containerPath: '/data' }],
        },
        volumes: [{ name: 'data', hostPath: '/srv' }],
      },
    });
    const { container, volumes } = resolveTask(
      request({ task: { container: { image: 'a:2', initProcess: false, networkMode: 'none' } } }),
      template,
      'ann',
    );
    expect(container).toMatchObject({ image: 'a:2', pullPolicy: 'never', initProcess: false, networkMode: 'none' });
    expect(container?.mountPoints).toMatchObject([{ sourceVolume: 'data', containerPath: '/data' }]);
    expect(volumes).toMatchObject([{ name: 'data', hostPath: '/srv' }]);
    expect(toBinary(TaskSpecSchema, resolveTask(request(), template, 'ann')).length).toBeGreaterThan(0);
  });

  it('do not mount what neither has', () => {
    const mountPoints = [{ sourceVolume: 'gone', containerPath: '/data' }];
    const template = definition({ task: { container: { image: 'a', mountPoints } } });
    expect(() => planJob(request(), template, 'ann')).toThrow('there is no volume "gone"');
  });
});

describe('features and the lost node', () => {
  it('asks for the agent features that the job needs', () => {
    const features = (init: MessageInitShape<typeof SubmitJobRequestSchema>) =>
      planJob(request(init), definition(), 'ann').requirements.features;
    expect(features({ task: { container: { image: 'busybox' } } })).toEqual(['container']);
    expect(features({ task: { separateStreams: true }, onNodeLost: OnNodeLostMessage.FENCED })).toEqual([
      'fenced',
      'separate-streams',
    ]);
  });

  it('fences a job whose retry rules name the loss of its host, unless the request says otherwise', () => {
    const retryStrategy = { attempts: 2, evaluateOnExit: [{ onStatusReason: 'Host EC2*', action: RetryAction.RETRY }] };
    expect(planJob(request({ retryStrategy }), definition(), 'ann').onNodeLost).toBe(OnNodeLost.fenced);
    expect(
      planJob(request({ retryStrategy, onNodeLost: OnNodeLostMessage.FAIL }), definition(), 'ann').onNodeLost,
    ).toBe(OnNodeLost.fail);
  });
});
