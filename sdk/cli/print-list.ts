import type { Session } from './host.ts';
import { collect, note, print, printJsonArray, widthOf } from './output.ts';
import { type Column, formatTable } from './table.ts';

/** Prints a list: with --json an array as it comes, else a table, and `empty` (what to type next) when there is nothing. */
export async function printList<T>(
  session: Session,
  items: AsyncIterable<T>,
  columns: readonly Column<T>[],
  empty: string,
): Promise<readonly T[]> {
  if (session.json) {
    await printJsonArray(session, items);
    return [];
  }
  const rows = await collect(items);
  const options = { width: widthOf(session.stdout), colours: session.colours };
  for (const line of formatTable(rows, columns, options)) print(session, line);
  if (rows.length === 0) note(session, empty);
  return rows;
}
