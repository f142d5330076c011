import { create, toBinary } from '@bufbuild/protobuf';
import { SubmitJobRequestSchema } from '@galley/proto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalBatch, canonicalBytes, digestOf } from './canonical.ts';

const entries = fc.uniqueArray(fc.tuple(fc.stringMatching(/^[A-Za-z0-9_]{1,4}$/), fc.string({ maxLength: 5 })), {
  selector: ([key]) => key,
  maxLength: 6,
});
const request = (maps: readonly (readonly string[])[][]) => {
  const [parameters, tags, labels, environment] = maps.map((map) => Object.fromEntries(map) as Record<string, string>);
  return create(SubmitJobRequestSchema, {
    jobId: 'abcd1234-0000-4000-8000-000000000001',
    jobName: 'job',
    parameters: parameters ?? {},
    tags: tags ?? {},
    labels: labels ?? {},
    task: { command: ['true'], environment: environment ?? {} },
  });
};
const four = fc.tuple(entries, entries, entries, entries);

describe('the bytes of a request', () => {
  it('do not depend on the order in which a client wrote its maps', () => {
    fc.assert(
      fc.property(four, fc.integer(), (maps, turn) => {
        const shuffled = maps.map((map) => map.map((_, at) => map.at((at + turn) % map.length) ?? ['', '']));
        const [one, other] = [canonicalBytes(request(maps)), canonicalBytes(request(shuffled))];
        expect(other).toEqual(one);
        expect(digestOf(other)).toEqual(digestOf(one));
      }),
    );
  });

  it('say the same as the request did, and tell different requests apart', () => {
    fc.assert(
      fc.property(four, four, (maps, others) => {
        const bytes = canonicalBytes(request(maps));
        expect(bytes.length).toBe(toBinary(SubmitJobRequestSchema, request(maps)).length);
        const same = JSON.stringify(maps.map(sorted)) === JSON.stringify(others.map(sorted));
        expect(Buffer.compare(digestOf(bytes), digestOf(canonicalBytes(request(others)))) === 0).toBe(same);
      }),
    );
  });

  it('are the same alone and among others', () => {
    fc.assert(
      fc.property(fc.array(four, { maxLength: 5 }), (all) => {
        expect(canonicalBatch(all.map(request)).map((bytes) => [...bytes])).toEqual(
          all.map((maps) => [...canonicalBytes(request(maps))]),
        );
      }),
    );
  });

  it('are summed up in 16 bytes', () => {
    expect(digestOf(canonicalBytes(request([])))).toHaveLength(16);
  });
});

function sorted(map: [string, string][]): [string, string][] {
  return map.toSorted(([a], [b]) => (a < b ? -1 : 1));
}
