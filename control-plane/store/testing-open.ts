/**
 * `testing-open.ts <dir> open`: opens the store, says `open <sequence>` or the error's code, and stays until it is killed.
 * `testing-open.ts <dir> commit`: opens it and commits for ever, and says each sequence when it was acknowledged.
 */
import { openStore } from './level-store.ts';
import type { Store } from './store.ts';
import { StoreError } from './store.ts';
import { commitNext, keyOf, SMALL } from './testing.ts';

const [, , dir = '', mode] = process.argv;

// The parent's end of the pipe: this process ends when the parent does, however that ends.
process.stdin.on('end', () => process.exit());
process.stdin.resume();

try {
  const store = await openStore(dir, SMALL);
  if (mode === 'commit') await commitForever(store);
  else console.log(`open ${store.position.sequence}`);
} catch (error) {
  console.log(error instanceof StoreError ? error.code : String(error));
}

async function commitForever(store: Store): Promise<never> {
  for (;;) {
    const key = keyOf(`k${store.position.sequence + 1}`);
    const { sequence } = await commitNext(store, { key, value: new Uint8Array(1000) });
    console.log(sequence);
  }
}
