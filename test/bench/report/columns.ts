/** Lines of a table; columns that hold figures are set right. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((cells) => cells[column]?.length ?? 0)),
  );
  const isFigure = head.map((_, column) => rows.every((cells) => /^([\d.,]|$)/.test(cells[column] ?? '')));
  return [head, ...rows].map((cells) =>
    cells
      .map((cell, column) =>
        isFigure[column] === true ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}
