// A map job of `galley demo`: node map.ts LIST OUTPUT. LIST holds a JSON array of Markdown files; OUTPUT receives, for
// each word, how often it stands in each of them.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { PartIndex } from './part-index.ts';

const [list = '', output = ''] = process.argv.slice(2);
const files = JSON.parse(readFileSync(list, 'utf8')) as string[];
const words = new Map<string, Map<number, number>>();
let total = 0;

files.forEach((file, index) => {
  // Addresses are not prose.
  const text = readFileSync(file, 'utf8')
    .toLowerCase()
    .replaceAll(/https?:\/\/[^\s)\]>]+/g, ' ');
  for (const [word] of text.matchAll(/\p{L}+/gu)) {
    let counts = words.get(word);
    if (counts === undefined) words.set(word, (counts = new Map<number, number>()));
    counts.set(index, (counts.get(index) ?? 0) + 1);
    total += 1;
  }
});

const part: PartIndex = {
  files,
  words: Object.fromEntries([...words].map(([word, counts]) => [word, [...counts]])),
};
// Written aside and renamed: if the job is stopped half-way, the merge never reads half an index.
writeFileSync(`${output}.new`, JSON.stringify(part));
renameSync(`${output}.new`, output);
console.log(`${files.length} files, ${total} words, ${words.size} distinct`);
