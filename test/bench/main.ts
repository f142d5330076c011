/** `npm run bench`: what Galley does on this machine, beside what the machine can do. See `options.ts`. */
import { HELP, parseOptions } from './options.ts';
import { printDocument } from './report/table.ts';
import { runBenches } from './run-benches.ts';

const USAGE_EXIT = 2;

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') {
    console.log(HELP);
  } else {
    const document = await runBenches(options, (text) => console.error(`bench: ${text}`));
    console.log(options.json ? JSON.stringify(document, null, 2) : printDocument(document));
  }
} catch (error) {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(USAGE_EXIT);
}
