import { expect, test } from 'vitest';
import { cli } from '../testing/cli.ts';

test.each([
  [['submit', '--on-node-lost', 'bogus', '--', 'true'], 'Allowed choices are wait, fenced, rerun, fail.'],
  [['history', '--by', 'bogus'], 'Allowed choices are user, queue, definition, node, day.'],
  [['logs', '1', '--stream', 'bogus'], 'Allowed choices are stdout, stderr, output.'],
  [['environment', 'create', 'x', '--strategy', 'constructor'], 'Allowed choices are pack, spread.'],
])('%j is refused before anything is sent', async (words, sentence) => {
  const result = await cli(words, { env: { GALLEY_ADDRESS: '127.0.0.1:1', GALLEY_TOKEN: 'none' } });
  expect(result).toMatchObject({ code: 125, stderr: expect.stringContaining(sentence) });
});
