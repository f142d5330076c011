import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describeStoreContract } from './contract.ts';
import { initialiseStore, openStore } from './level-store.ts';
import { SMALL, testDirectory } from './testing.ts';

describeStoreContract('LevelStore', async () => {
  const directory = await testDirectory();
  const dir = join(directory.path, 'store');
  await initialiseStore(dir, { ...SMALL, clusterId: 'test' });
  return { open: () => openStore(dir, SMALL), remove: () => rm(directory.path, { recursive: true, force: true }) };
});
