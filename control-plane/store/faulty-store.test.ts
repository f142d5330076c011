import { describeStoreContract } from './contract.ts';
import { FaultyDisk, openFaultyStore } from './faulty-store.ts';

describeStoreContract('the faulty store without faults', async () => {
  const disk = new FaultyDisk({ clusterId: 'test' });
  return { open: () => openFaultyStore(disk), remove: async () => {} };
});
