import { expect, test } from 'vitest';
import { completeLock, missingEntries } from './lock.ts';

const TOOL = {
  version: '1.2.3',
  dev: true,
  license: 'MIT',
  optionalDependencies: { '@tool/linux-x64-musl': '1.2.3', '@tool/linux-x64': '1.2.3', 'tool-linux-armv7': '1.2.3' },
};
const INCOMPLETE = {
  packages: { '': {}, 'node_modules/tool': TOOL, 'node_modules/@tool/linux-x64': { version: '1.2.3' } },
};

test('adds what is missing with version and platform, and nothing else', () => {
  expect(missingEntries(INCOMPLETE)).toEqual({
    'node_modules/@tool/linux-x64-musl': {
      version: '1.2.3',
      cpu: ['x64'],
      dev: true,
      libc: ['musl'],
      license: 'MIT',
      optional: true,
      os: ['linux'],
    },
    'node_modules/tool-linux-armv7': {
      version: '1.2.3',
      cpu: ['arm'],
      dev: true,
      license: 'MIT',
      optional: true,
      os: ['linux'],
    },
  });
});

test('a completed lock is complete', () => {
  const completed = completeLock(INCOMPLETE);
  expect(missingEntries(completed)).toEqual({});
  expect(completeLock(completed)).toEqual(completed);
});

test('a nested package is found where it is', () => {
  const packages = {
    'node_modules/tool': { optionalDependencies: { 'dep-linux-x64': '1.0.0' } },
    'node_modules/tool/node_modules/dep-linux-x64': { version: '1.0.0' },
  };
  expect(missingEntries({ packages })).toEqual({});
});

test('refuses to guess a platform that the name does not tell', () => {
  const packages = { 'node_modules/tool': { optionalDependencies: { 'tool-native': '1.0.0' } } };
  expect(() => missingEntries({ packages })).toThrow("'tool-native', whose name tells no platform");
});
