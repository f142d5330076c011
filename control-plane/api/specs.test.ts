import { create, toBinary } from '@bufbuild/protobuf';
import { SubmitJobRequestSchema } from '@galley/proto';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodeSpec, labelsOf } from './specs.ts';

it('finds in a record what decoding all of it finds', () => {
  const text = fc.string({ maxLength: 12 });
  const map = fc.dictionary(fc.stringMatching(/^[a-z]{1,4}$/), text, { noNullPrototype: true });
  fc.assert(
    fc.property(text, text, map, fc.array(text), fc.boolean(), (jobName, project, labels, command, hold) => {
      const request = create(SubmitJobRequestSchema, { jobName, project, labels, hold, task: { command } });
      const bytes = toBinary(SubmitJobRequestSchema, request);
      expect(labelsOf(bytes)).toEqual({ jobName, project });
      expect(decodeSpec(bytes)).toMatchObject(labelsOf(bytes));
    }),
  );
});
