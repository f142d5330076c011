import type { Colour, Colours } from './colours.ts';

export interface Column<T> {
  readonly header: string;
  readonly value: (row: T) => string;
  /** Numbers stand right. Default: left. */
  readonly align?: 'left' | 'right';
  readonly colour?: (row: T) => Colour | undefined;
  /** This column gives way when the terminal is narrow; others are never cut. */
  readonly flexible?: boolean;
  /** Left out when the terminal is narrower still: the highest first. `--json` has everything. */
  readonly dispensable?: number;
}

const GAP = '  ';
/** Below this a flexible column says nothing any more, so the line may wrap instead. */
const MIN_FLEXIBLE_WIDTH = 8;

/** Lines of a table, header first; none for no rows. */
export function formatTable<T>(
  rows: readonly T[],
  all: readonly Column<T>[],
  { width, colours }: { readonly width: number; readonly colours: Colours },
): string[] {
  if (rows.length === 0) return [];
  const texts = all.map((column) => rows.map((row) => printable(column.value(row))));
  const natural = all.map(({ header }, index) =>
    (texts[index] ?? []).reduce((most, { length }) => Math.max(most, length), header.length),
  );
  const kept = fittingColumns(all, natural, width);
  const columns = kept.flatMap((index) => all[index] ?? []);
  const cells = rows.map((_, at) => kept.map((index) => texts[index]?.[at] ?? ''));
  const widths = fitWidths(
    kept.map((index) => natural[index] ?? 0),
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

/** Places of the columns for which there is room once the flexible ones have given way. */
function fittingColumns<T>(columns: readonly Column<T>[], natural: readonly number[], width: number): number[] {
  const least = (index: number) => {
    const own = natural[index] ?? 0;
    return columns[index]?.flexible === true ? Math.min(own, MIN_FLEXIBLE_WIDTH) : own;
  };
  let kept = columns.map((_, index) => index);
  for (;;) {
    const needed = kept.reduce((sum, index) => sum + least(index) + GAP.length, -GAP.length);
    const rank = Math.max(...kept.map((index) => columns[index]?.dispensable ?? 0));
    if (needed <= width || rank === 0) return kept;
    kept = kept.filter((index) => columns[index]?.dispensable !== rank);
  }
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
