/** One line of RFC 4180, without its end; an absent value is empty. */
export function csvLine(values: readonly (string | number | undefined)[]): string {
  return values.map((value) => quote(value === undefined ? '' : String(value))).join(',');
}

function quote(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
