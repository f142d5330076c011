/** Opens the store named on the command line, says so (or the error's code) in one line, and stays until it is killed. */
import { openStore } from './level-store.ts';
import { StoreError } from './store.ts';
import { SMALL } from './testing.ts';

try {
  const store = await openStore(process.argv[2] ?? '', SMALL);
  console.log(`open ${store.position.sequence}`);
} catch (error) {
  console.log(error instanceof StoreError ? error.code : String(error));
}
// A handle that nobody writes to: it keeps the process alive, and ends when the parent does.
process.stdin.resume();
