import type { Colour, Colours } from './colours.ts';

export interface Column<T> {
  readonly header: string;
  readonly value: (row: T) => string;
  /** Numbers stand right. Default: left. */
  readonly align?: 'left' | 'right';
  readonly colour?: (row: T) => Colour | undefined;
  /** This column gives way when the terminal is narrow; others are never cut. */
  readonly flexible?: boolean;
}

const GAP = '  ';
/** Below this a flexible column says nothing any more, so the line may wrap instead. */
const MIN_FLEXIBLE_WIDTH = 8;

/** Lines of a table, header first; none for no rows. */
export function formatTable<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  { width, colours }: { readonly width: number; readonly colours: Colours },
): string[] {
  if (rows.length === 0) return [];
  const cells = rows.map((row) => columns.map((column) => printable(column.value(row))));
  const widths = fitWidths(
    columns.map((column, index) => Math.max(column.header.length, ...cells.map((row) => row[index]?.length ?? 0))),
    columns.map((column) => column.flexible === true),
    width,
  );
  const line = (texts: readonly string[], paint: (text: string, index: number) => string) =>
    texts
      .map((text, index) =>
        paint(pad(text, widths[index] ?? 0, columns[index]?.align, index === texts.length - 1), index),
      )
      .join(GAP)
      .trimEnd();
  return [
    line(
      columns.map((column) => column.header),
      (text) => colours('bold', text),
    ),
    ...cells.map((row, at) =>
      line(row, (text, index) => {
        const source = rows[at];
        return source === undefined ? text : colours(columns[index]?.colour?.(source), text);
      }),
    ),
  ];
}

/** Key and value, a line each, values aligned; entries without a value are left out. */
export function formatFields(fields: readonly (readonly [string, string | undefined])[], colours: Colours): string[] {
  const shown = fields.filter((field): field is readonly [string, string] => field[1] !== undefined && field[1] !== '');
  const width = Math.max(0, ...shown.map(([key]) => key.length));
  return shown.map(([key, value]) => `${colours('bold', key.padEnd(width))}${GAP}${printable(value)}`);
}

/** Text from jobs and nodes must not steer the terminal. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, ' ');
}

function fitWidths(natural: number[], flexible: boolean[], width: number): number[] {
  const total = natural.reduce((sum, each) => sum + each, 0) + GAP.length * (natural.length - 1);
  let excess = total - width;
  return natural.map((each, index) => {
    if (excess <= 0 || flexible[index] !== true) return each;
    const cut = Math.max(0, Math.min(excess, each - MIN_FLEXIBLE_WIDTH));
    excess -= cut;
    return each - cut;
  });
}

function pad(text: string, width: number, align: 'left' | 'right' | undefined, last: boolean): string {
  const cut = text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text;
  if (align === 'right') return cut.padStart(width);
  return last ? cut : cut.padEnd(width);
}
