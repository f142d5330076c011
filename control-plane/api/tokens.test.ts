import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeToken, pageOfNames, readToken } from './tokens.ts';

const page = (pageToken: string, pageSize = 0) => ({ page: { pageToken, pageSize } });

describe('a page token', () => {
  it('comes back as it was made, for its own list only', () => {
    fc.assert(
      fc.property(fc.string(), fc.maxSafeNat(), (text, number) => {
        const token = makeToken('a', [text, number]);
        expect(readToken('a', page(token), ['string', 'number'])).toEqual([text, number]);
        expect(() => readToken('b', page(token), ['string', 'number'])).toThrow('next_page_token');
        expect(() => readToken('a', page(token), ['number', 'string'])).toThrow('next_page_token');
        expect(() => readToken('a', page(token), ['string'])).toThrow('next_page_token');
      }),
    );
  });

  it('refuses what nobody made', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (token) => {
        expect(() => readToken('a', page(token), ['number'])).toThrow('page.page_token');
      }),
    );
    expect(readToken('a', {}, ['number'])).toBeUndefined();
  });
});

describe('pages of names', () => {
  it('hold no more bytes than fit, and one item at least', () => {
    const bytes = [3e6, 1e6, 1e6, 9e6, 1];
    const pages: string[][] = [];
    let token = '';
    do {
      const names = ['a', 'b', 'c', 'd', 'e'];
      const answer = pageOfNames('names', page(token), names, String, (item) => bytes[names.indexOf(item)] ?? 0);
      pages.push(answer.items);
      token = answer.nextPageToken;
    } while (token !== '');
    expect(pages).toEqual([['a', 'b'], ['c'], ['d'], ['e']]);
  });

  it('show every item that stays, once and in order, whatever comes and goes in between', () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,3}$/), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(names, names, fc.integer({ min: 1, max: 7 }), (stay, passing, size) => {
        const seen: string[] = [];
        let token = '';
        let round = 0;
        do {
          const items = round++ % 2 === 0 ? stay : [...new Set([...stay, ...passing])];
          const { items: shown, nextPageToken } = pageOfNames('names', page(token, size), items, (item) => item);
          expect(shown.length).toBeLessThanOrEqual(size);
          seen.push(...shown);
          token = nextPageToken;
        } while (token !== '');
        expect(seen).toEqual([...new Set(seen)].sort());
        expect(seen.filter((name) => stay.includes(name))).toEqual(stay.toSorted());
      }),
    );
  });
});
