import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createColours } from './colours.ts';
import { type Column, formatFields, formatTable, printable } from './table.ts';

interface Row {
  readonly id: number;
  readonly name: string;
}

const COLUMNS: readonly Column<Row>[] = [
  { header: 'ID', align: 'right', value: ({ id }) => String(id) },
  { header: 'NAME', value: ({ name }) => name, flexible: true, colour: () => 'green' },
  { header: 'END', value: () => 'x' },
];
const plain = createColours(false);

test('numbers stand right, words left, nothing trails', () => {
  const rows = [
    { id: 7, name: 'seven' },
    { id: 1234, name: 'x' },
  ];
  expect(formatTable(rows, COLUMNS, { width: 80, colours: plain })).toEqual([
    '  ID  NAME   END',
    '   7  seven  x',
    '1234  x      x',
  ]);
  expect(formatTable([], COLUMNS, { width: 80, colours: plain })).toEqual([]);
});

test('a table never is wider than the terminal while its flexible column can give way', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 90 }), { minLength: 1 }),
      fc.integer({ min: 30, max: 90 }),
      (names, width) => {
        const rows = names.map((name, id) => ({ id, name }));
        for (const line of formatTable(rows, COLUMNS, { width, colours: plain })) {
          expect(line.length).toBeLessThanOrEqual(width);
        }
      },
    ),
  );
});

test('colour changes nothing but colour', () => {
  const rows = [{ id: 1, name: 'one' }];
  const coloured = formatTable(rows, COLUMNS, { width: 80, colours: createColours(true) });
  const without = formatTable(rows, COLUMNS, { width: 80, colours: plain });
  expect(coloured.map(stripVTControlCharacters)).toEqual(without);
  expect(coloured).not.toEqual(without);
});

test("a job's name cannot steer the terminal", () => {
  const rows = [{ id: 1, name: 'a\u001b[2Jb\nc' }];
  expect(formatTable(rows, COLUMNS, { width: 80, colours: plain })[1]).toBe(' 1  a [2Jb c  x');
  expect(printable('\u009b31m')).toBe(' 31m');
});

test('fields without a value are left out', () => {
  const fields = [
    ['A', '1'],
    ['Long', undefined],
    ['Bb', ''],
    ['Ccc', '3'],
  ] as const;
  expect(formatFields(fields, plain)).toEqual(['A    1', 'Ccc  3']);
});

test('columns that can be spared leave a narrow terminal, the most dispensable first', () => {
  const columns: readonly Column<Row>[] = [
    { header: 'ID', value: ({ id }) => String(id) },
    { header: 'CREATED', value: () => '2026-11-20 20:00:00', dispensable: 2 },
    { header: 'QUEUE', value: () => 'default', dispensable: 1 },
    { header: 'NAME', value: ({ name }) => name, flexible: true },
  ];
  const rows = [{ id: 1, name: 'a-long-name' }];
  const header = (width: number) => formatTable(rows, columns, { width, colours: plain })[0]?.split(/ +/);
  expect(header(80)).toEqual(['ID', 'CREATED', 'QUEUE', 'NAME']);
  expect(header(42)).toEqual(['ID', 'CREATED', 'QUEUE', 'NAME']);
  expect(header(41)).toEqual(['ID', 'QUEUE', 'NAME']);
  expect(header(20)).toEqual(['ID', 'NAME']);
  expect(header(1)).toEqual(['ID', 'NAME']);
});
