/** What a map job leaves for the merge. `words`: for each word, pairs of a file's place in `files` and a count. */
export interface PartIndex {
  readonly files: readonly string[];
  readonly words: Readonly<Record<string, readonly (readonly [file: number, count: number])[]>>;
}
