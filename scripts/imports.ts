/**
 * Finds the imports of a TypeScript source by pattern. TypeScript 7 has no JavaScript API to ask, and bundlers drop
 * type imports; on formatted source (biome runs before) an import statement always starts its line, so this suffices.
 */

export interface Import {
  readonly specifier: string;
  /** `type`: erased at run time. `dynamic`: loaded when the expression is reached. */
  readonly kind: 'static' | 'type' | 'dynamic';
  /** Line of the specifier, from 1. */
  readonly line: number;
}

const STATEMENT = /^(?:import|export)\s(?<clause>[^'"`;]*?)\bfrom\s+['"](?<specifier>[^'"]+)['"]/gm;
const SIDE_EFFECT = /^import\s+['"](?<specifier>[^'"]+)['"]/gm;
// `await import('x')` loads at run time; `import('x').Name` in a type position is erased.
const EXPRESSION = /\bimport\(\s*['"](?<specifier>[^'"]+)['"]\s*\)(?<type>\.[A-Z])?/g;

export function findImports(source: string): Import[] {
  const imports: Import[] = [];
  const add = (match: RegExpMatchArray, kind: Import['kind']): void => {
    const specifier = match.groups?.['specifier'] ?? '';
    const end = (match.index ?? 0) + match[0].length;
    imports.push({ specifier, kind, line: source.slice(0, end).split('\n').length });
  };
  for (const match of source.matchAll(STATEMENT)) {
    add(match, isTypeClause(match.groups?.['clause'] ?? '') ? 'type' : 'static');
  }
  for (const match of source.matchAll(SIDE_EFFECT)) add(match, 'static');
  for (const match of source.matchAll(EXPRESSION)) {
    if (!isInComment(source, match.index)) add(match, match.groups?.['type'] === undefined ? 'dynamic' : 'type');
  }
  return imports.sort((a, b) => a.line - b.line);
}

/** `type { A }`, or `{ type A, type B }` in which every name is a type. */
function isTypeClause(clause: string): boolean {
  if (/^type\s/.test(clause)) return true;
  const names = /^\{(?<names>[^}]*)\}\s*$/.exec(clause.trim())?.groups?.['names'];
  if (names === undefined) return false;
  return names
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
    .every((name) => name.startsWith('type '));
}

function isInComment(source: string, index: number): boolean {
  const line = source.slice(source.lastIndexOf('\n', index) + 1, index).trimStart();
  return line.startsWith('//') || line.startsWith('*') || line.startsWith('/*');
}
