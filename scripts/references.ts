/**
 * Files that a source names to start or read them, `new URL('./x', import.meta.url)`: a bundle has to bring them along,
 * and to name them where they then are.
 */
import { posix } from 'node:path';

const REFERENCE = /new URL\(\s*['"](?<target>\.{1,2}\/[^'"]+)['"]\s*,\s*import\.meta\.url\s*,?\s*\)/g;
/** Places that a bundle moves without anyone noticing. */
const LOST_IN_BUNDLE = /\bimport\.meta\.(?:dirname|filename)\b/;

/** Paths within the repository of what `source`, which stands at `path`, refers to. */
export function collectReferences(path: string, source: string): string[] {
  return [...source.matchAll(REFERENCE)].map((match) => target(path, match.groups?.['target'] ?? ''));
}

/** Why the source would look for its neighbours in the wrong place once it is bundled, if it would. */
export function findLostPlace(source: string): string | undefined {
  const found = LOST_IN_BUNDLE.exec(source);
  return found === null
    ? undefined
    : `${found[0]} means another place in the bundle; use new URL('./x', import.meta.url)`;
}

/** The source with each reference pointing to the flat name that the file has beside the bundle. */
export function rewriteReferences(path: string, source: string): string {
  return source.replaceAll(REFERENCE, (_match, named: string) => {
    return `new URL('./${bundledName(target(path, named))}', import.meta.url)`;
  });
}

/** `agent/runtimes/launcher.ts` is `agent-runtimes-launcher.mjs` beside the bundle; other files keep their extension. */
export function bundledName(path: string): string {
  return path.replaceAll('/', '-').replace(/\.ts$/, '.mjs');
}

function target(path: string, reference: string): string {
  return posix.join(posix.dirname(path), reference);
}
