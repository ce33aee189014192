import assert from 'node:assert/strict';
import { stripVTControlCharacters } from 'node:util';
import { describe, it } from 'node:test';
import { layOut } from '../../../src/cli/shared/table.ts';
import type { Column } from '../../../src/cli/shared/table.ts';
import { cutTo, viewOf, widthOf, wrapTo } from '../../../src/cli/shared/terminal.ts';

const view = (width: number | null, colors = false) =>
  viewOf({ isTTY: width !== null, columns: width ?? 0 }, colors ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' });
/** The columns of `inbox list`, and an empty one. */
const HEAD: (string | Column)[] = [
  'MESSAGE ID',
  'TYPE',
  { head: 'STATUS', paint: () => 'red' },
  { head: 'RECEIVED', short: 'AGE' },
  'EMPTY',
  { head: 'ERROR', fit: 'cut' },
];
const ID = '3ddf9f6a-0a2e-4c1c-be10-f8fb2cb2acbc';
const row = (id: string, error: string) => [id, 'TransferFunds', 'DeadLetter', new Date(), null, error];
const ERROR = 'InsufficientFunds: 口座 acc-13 has 17.30 €, 👩‍👩‍👧 but e\u0301 '.repeat(6);
const lines = (text: string) => text.split('\n');
const widest = (text: string) => Math.max(...lines(stripVTControlCharacters(text)).map(widthOf));

describe('tables', () => {
  it('prints one line per row on a pipe, and cuts nothing', () => {
    const text = layOut(HEAD, [row(ID, ERROR), row('x'.repeat(200), 'short')], view(null));
    assert.equal(lines(text).length, 3);
    assert.ok(text.includes(ERROR.trimEnd()));
    assert.match(text, /MESSAGE ID +TYPE +STATUS +RECEIVED +EMPTY +ERROR/);
    assert.match(text, /T.*Z/);
  });

  for (const colors of [false, true]) {
    for (let width = 40; width <= 260; width += 7) {
      it(`fits ${width} columns, with whole ids and times as ages${colors ? ', in color' : ''}`, () => {
        const text = layOut(
          HEAD,
          [row(ID, ERROR), row(`注文-${ID.slice(8)}`, ''), row('a', 'b')],
          view(width, colors),
        );
        assert.ok(widest(text) <= width, text);
        assert.ok(text.includes(ID));
        assert.ok(stripVTControlCharacters(text).includes('InsufficientFunds'));
        // eslint-disable-next-line no-control-regex
        assert.equal(/\u001b\[31mDeadLetter\u001b/.test(text), colors);
      });
    }
  }

  it('moves only the error to its own line when everything else fits 80 columns', () => {
    const text = lines(layOut(HEAD, [row(ID, ERROR)], view(80)));
    assert.match(text[0]!, /^ MESSAGE ID +TYPE +STATUS +AGE$/);
    assert.match(text[1]!, /^ 3ddf9f6a\S+ +TransferFunds +DeadLetter +0s$/);
    assert.match(text[2]!, /^ {4}InsufficientFunds: .*…$/);
    assert.equal(text.length, 3);
  });

  it('puts a very long id on a line above the rest of its row', () => {
    const long = 'order:'.repeat(12);
    const text = lines(layOut(HEAD, [row(long, ''), row('b', '')], view(80)));
    assert.deepEqual(text.slice(2), [
      ` ${long}`,
      '   TransferFunds  DeadLetter  0s',
      ' b',
      '   TransferFunds  DeadLetter  0s',
    ]);
  });

  it('aligns characters that are zero or two columns wide', () => {
    const text = layOut(
      ['A', 'B'],
      [
        ['漢字', 1],
        ['e\u0301', 1],
        ['👩‍👩‍👧', 1],
        ['นิ้ว', 1],
        ['abcd', 1],
      ],
      view(null),
    );
    assert.ok(
      lines(text)
        .slice(1)
        .every((line) => widthOf(line) === 1 + 4 + 2 + 1),
      text,
    );
  });

  it('prints the head when there are no rows, even on the narrowest terminal', () => {
    assert.match(layOut(HEAD, [], view(20)), /MESSAGE ID/);
    assert.ok(widest(layOut(HEAD, [], view(20))) <= 20);
  });
});

describe('text on a terminal', () => {
  it('is cut and wrapped between graphemes', () => {
    assert.equal(cutTo('漢字漢字', 5), '漢字…');
    assert.equal(cutTo('👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧', 5), '👩‍👩‍👧👩‍👩‍👧…');
    assert.deepEqual(wrapTo('one two three', 7), ['one two', 'three']);
    assert.deepEqual(wrapTo('  "a": "one two three"', 14), ['  "a": "one', '  two three"']);
    assert.deepEqual(wrapTo('漢字漢字漢', 4), ['漢字', '漢字', '漢']);
    assert.equal(wrapTo('x'.repeat(95), 10).join(''), 'x'.repeat(95));
  });

  for (const [env, terminal, expected] of [
    [{}, true, true],
    [{}, false, false],
    [{ TERM: 'dumb' }, true, false],
    [{ NO_COLOR: '1' }, true, false],
    [{ NO_COLOR: '' }, true, true],
    [{ FORCE_COLOR: '1' }, false, true],
    [{ FORCE_COLOR: '0' }, true, false],
    [{ FORCE_COLOR: 'false' }, true, false],
    [{ FORCE_COLOR: '1', NO_COLOR: '1' }, false, true],
  ] as const) {
    it(`${expected ? 'has' : 'has no'} colors with ${JSON.stringify(env)} on a ${terminal ? 'terminal' : 'pipe'}`, () => {
      const { colors } = viewOf({ isTTY: terminal, columns: 80 }, env);
      assert.equal(colors.isColorSupported, expected);
    });
  }
});
