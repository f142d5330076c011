import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { GalleyError } from './errors.ts';
import { compileOptions, isLoopback, parseAddress } from './options.ts';

let directory: string;
let env: NodeJS.ProcessEnv;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'galley-options-'));
  // No configuration file of whoever runs the test.
  env = { XDG_CONFIG_HOME: join(directory, 'config') };
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

function dataDirectory(name: string, address: string, token = `token-of-${name}`): string {
  const path = join(directory, name);
  mkdirSync(path);
  writeFileSync(join(path, 'endpoint.json'), JSON.stringify({ address, pid: 4711 }));
  writeFileSync(join(path, 'token'), `${token}\n`);
  return path;
}

function thrownBy(action: () => unknown): GalleyError {
  try {
    action();
  } catch (error) {
    if (error instanceof GalleyError) return error;
  }
  throw new Error('a GalleyError was expected');
}

test('a data directory gives address, token and process', () => {
  const path = dataDirectory('a', '127.0.0.1:9001');
  expect(compileOptions({ dataDirectory: path, env })).toMatchObject({
    address: '127.0.0.1:9001',
    token: 'token-of-a',
    pid: 4711,
    dataDirectory: path,
  });
});

test('options come before the environment, and that before the configuration file', () => {
  const a = dataDirectory('a', '127.0.0.1:9001');
  const b = dataDirectory('b', '127.0.0.1:9002');
  const config = join(directory, 'config.json');
  writeFileSync(config, JSON.stringify({ address: 'config:1', account: 'from-config' }));
  const inEnvironment = { ...env, GALLEY_DATA_DIR: b };
  expect(compileOptions({ dataDirectory: a, env: inEnvironment, configFile: config }).address).toBe('127.0.0.1:9001');
  const second = compileOptions({ env: inEnvironment, configFile: config });
  expect(second).toMatchObject({ address: '127.0.0.1:9002', token: 'token-of-b', account: 'from-config' });
  expect(compileOptions({ env, configFile: config }).address).toBe('config:1');
});

test('a data directory that is said on the command line wins over an address in the environment', () => {
  const path = dataDirectory('a', '127.0.0.1:9001');
  const options = compileOptions({ dataDirectory: path, env: { ...env, GALLEY_ADDRESS: 'far:1' } });
  expect(options.address).toBe('127.0.0.1:9001');
});

test('the token of a data directory never goes to another machine', () => {
  const path = dataDirectory('a', '127.0.0.1:9001');
  expect(compileOptions({ address: 'far.example:1', env: { ...env, GALLEY_DATA_DIR: path } }).token).toBeUndefined();
  expect(compileOptions({ address: '127.0.0.1:5', env: { ...env, GALLEY_DATA_DIR: path } }).token).toBe('token-of-a');
});

test('where no control plane was started, that is said with the directory', () => {
  const error = thrownBy(() => compileOptions({ dataDirectory: directory, env }));
  expect(error.code).toBe('NOT_CONFIGURED');
  expect(error.message).toContain(`no control plane has been started in ${directory}`);
});

test('a control plane that was stopped is not one that was never started', () => {
  const path = dataDirectory('a', '127.0.0.1:9001');
  rmSync(join(path, 'endpoint.json'));
  expect(thrownBy(() => compileOptions({ dataDirectory: path, env })).message).toContain(
    `no control plane runs in ${path} now`,
  );
});

test('a configuration file that is wrong is named, with the key', () => {
  const config = join(directory, 'config.json');
  writeFileSync(config, JSON.stringify({ adress: 'x:1' }));
  expect(thrownBy(() => compileOptions({ env, configFile: config })).message).toContain('"adress"');
  writeFileSync(config, '{');
  expect(thrownBy(() => compileOptions({ env, configFile: config })).message).toContain('not JSON');
  expect(thrownBy(() => compileOptions({ env, configFile: join(directory, 'none') })).message).toContain('none');
});

test('addresses have a port, ours when none is given', () => {
  expect(parseAddress('host')).toBe('host:8642');
  expect(parseAddress('http://host:1/')).toBe('host:1');
  expect(parseAddress('[::1]:5')).toBe('[::1]:5');
  expect(isLoopback(parseAddress('[::1]:5'))).toBe(true);
  expect(isLoopback('127.0.0.1.example.com:5')).toBe(false);
  for (const wrong of ['', 'host:0', 'host:99999', 'a b', 'host:x']) {
    expect(thrownBy(() => parseAddress(wrong)).message).toContain(`"${wrong}"`);
  }
});

test('times must be positive', () => {
  expect(thrownBy(() => compileOptions({ address: 'x:1', env, timeoutMs: 0 })).message).toContain('timeoutMs');
});
