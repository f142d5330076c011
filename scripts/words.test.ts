import { expect, test } from 'vitest';
import { checkWords } from './words.ts';

// Composed, because this file is checked too.
const WORK_PATH = ['', 'work', 'main'].join('/');
const HOME_PATH = ['', 'home', 'jane'].join('/');
const REGISTRY = ['https:/', ['registry', 'npmjs', 'org'].join('.')].join('/');

test.each([
  `run it in ${WORK_PATH}`,
  `const path = '${WORK_PATH}/x';`,
  `HOME=${HOME_PATH}`,
  `see (${HOME_PATH}/notes)`,
  `"resolved": "${REGISTRY}/x"`,
  `registry=${REGISTRY}`,
])('refuses: %s', (line) => {
  expect(checkWords('a.md', `first\n${line}\n`)).not.toEqual([]);
  expect(checkWords('a.md', `first\n${line}\n`)[0]).toMatch(/^a\.md:2: /);
});

test.each([
  `framework/main is a folder, and so is .${WORK_PATH}`,
  "HOME: '/home/alice'",
  "path.join('/home', name)",
  '"resolved": "sdk"',
  `https://example.com${WORK_PATH}`,
  '`${directory}/work/file`',
])('lets stand: %s', (line) => {
  expect(checkWords('a.md', line)).toEqual([]);
});

test('refuses the path of the checkout itself, wherever it stands', () => {
  expect(checkWords('a.md', 'cd /srv/src/galley && ls', '/srv/src/galley')).toEqual([
    'a.md:1: the path of this checkout',
  ]);
});
