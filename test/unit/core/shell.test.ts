import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { shellCommand, shellWord } from '../../../src/core/shell.ts';
import { fc } from '../../support/random.ts';
import { shellWords } from '../../support/shell-words.ts';

describe('shell commands to paste', () => {
  for (const id of [
    'order-17',
    '=ls',
    'a=b',
    'a/b?c=d#e%2e%2e%2f',
    '../../etc/passwd',
    'x;touch$IFS PWNED;#',
    '$(id>x)',
    'it\'s $HOME !! \\ "quoted" & | > < * ~',
    'order 17 --address evil.example:7233',
    '注文-17',
    'café',
  ]) {
    it(`pass the id unchanged: ${id}`, () => {
      assert.deepEqual(shellWords(shellCommand`inbox show ${id}`!), ['inbox', 'show', id]);
      const signal = shellCommand`temporal workflow signal --workflow-id ${id} --name replay`!;
      assert.deepEqual(shellWords(signal), [
        'temporal',
        'workflow',
        'signal',
        '--workflow-id',
        id,
        '--name',
        'replay',
      ]);
    });
  }

  for (const [what, id] of [
    ['the form of an option', '--help'],
    ['only a hyphen', '-'],
    ['no characters', ''],
    ['a backtick', 'a`id`b'],
    ['a placeholder of the Web UI', 'order-{namespace}'],
    ['two spaces in a row', 'order  1'],
    ['a space at its end', 'order '],
    ['a line break', 'a\nid'],
    ['a control character', 'a\u001b[31m'],
    ['an invisible character', 'order-1\u200b'],
    ['a direction mark', 'rtl-\u202egnp.exe'],
    ['a look-alike', '\u043erder-1'],
    ['a no-break space', 'order\u00a01'],
    ['a symbol', 'order-\u{1f4b8}'],
  ] as const) {
    it(`are not printed for an id with ${what}`, () => {
      assert.equal(shellWord(id), null);
      assert.equal(shellCommand`inbox show ${id}`, null);
    });
  }

  it('pass any id that they contain unchanged', () => {
    const ids = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(ids, (id) => {
        const word = shellWord(id);
        if (word !== null) assert.deepEqual(shellWords(word), [id]);
      }),
      { numRuns: 60 },
    );
  });
});
