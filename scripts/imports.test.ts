import { expect, test } from 'vitest';
import { findImports } from './imports.ts';

function kinds(source: string): string[] {
  return findImports(source).map(({ kind, specifier, line }) => `${line} ${kind} ${specifier}`);
}

test('finds static, re-exporting and side-effect imports, and names their lines', () => {
  expect(
    kinds(
      [
        "import { a } from './a.ts';",
        "import b, { c } from 'b';",
        "import './effect.ts';",
        "export * from './d.ts';",
        'import {',
        '  long,',
        '  type Names,',
        "} from './e.ts';",
      ].join('\n'),
    ),
  ).toEqual(['1 static ./a.ts', '2 static b', '3 static ./effect.ts', '4 static ./d.ts', '8 static ./e.ts']);
});

test('tells what is erased at run time from what is loaded', () => {
  expect(
    kinds(
      [
        "import type { A } from './a.ts';",
        "import { type B, type C } from './b.ts';",
        "export type { D } from './d.ts';",
        "import { type E, f } from './e.ts';",
        "let g: import('./g.ts').G;",
        "const h = await import('./h.ts');",
      ].join('\n'),
    ),
  ).toEqual([
    '1 type ./a.ts',
    '2 type ./b.ts',
    '3 type ./d.ts',
    '4 static ./e.ts',
    '5 type ./g.ts',
    '6 dynamic ./h.ts',
  ]);
});

test('does not take a comment or an ordinary declaration for an import', () => {
  expect(
    kinds(
      [
        "// const x = await import('./comment.ts');",
        " * import { y } from './doc.ts';",
        'export function from(): void {}',
        "export const text = 'from the start';",
        "call(); // from './here.ts'",
      ].join('\n'),
    ),
  ).toEqual([]);
});
