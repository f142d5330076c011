// The last job of `galley demo`: node merge.ts OUTPUT PART... merges the parts' indexes into one: for each word, the
// numbers of the files that hold it and how often. Says on stdout what it found.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { PartIndex } from './part-index.ts';

const TOP = 20;
const TOP_MIN_LETTERS = 4;

const [output = '', ...parts] = process.argv.slice(2);
const files: string[] = [];
const words = new Map<string, [file: number, count: number][]>();

for (const part of parts) {
  const index = JSON.parse(readFileSync(part, 'utf8')) as PartIndex;
  for (const [word, counts] of Object.entries(index.words)) {
    let merged = words.get(word);
    if (merged === undefined) words.set(word, (merged = []));
    for (const [file, count] of counts) merged.push([files.length + file, count]);
  }
  files.push(...index.files);
}

const ranked = [...words]
  .map(([word, counts]) => ({ word, count: counts.reduce((sum, [, n]) => sum + n, 0), files: counts.length }))
  .sort((a, b) => b.count - a.count || (a.word < b.word ? -1 : 1));

const sorted = [...words].sort(([a], [b]) => (a < b ? -1 : 1));
writeFileSync(`${output}.new`, JSON.stringify({ files, words: Object.fromEntries(sorted) }));
renameSync(`${output}.new`, output);

const total = ranked.reduce((all, { count }) => all + count, 0);
console.log(`${total} words, ${ranked.length} of them distinct, in ${files.length} Markdown files`);
console.log(`the ${TOP} most frequent with ${TOP_MIN_LETTERS} letters or more:`);
for (const { word, count, files: holders } of ranked.filter((r) => r.word.length >= TOP_MIN_LETTERS).slice(0, TOP)) {
  console.log(`${String(count).padStart(8)}  ${word.padEnd(16)} in ${holders} files`);
}
