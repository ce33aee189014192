import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { shellCommand, shellWord } from '../../src/shell.ts';
import { fc } from '../support/random.ts';

/** What a shell makes of the words of this command line. */
function wordsOf(command: string): string[] {
  const script = `set -- ${command}; for word; do printf '%s\\0' "$word"; done`;
  return execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1);
}

describe('a command line to paste', () => {
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
    it(`hands over the id as it is: ${id}`, () => {
      assert.deepEqual(wordsOf(shellCommand`inbox show ${id}`!), ['inbox', 'show', id]);
      const signal = shellCommand`temporal workflow signal --workflow-id ${id} --name replay`!;
      assert.deepEqual(wordsOf(signal), [
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
    ['an option', '--help'],
    ['a hyphen', '-'],
    ['nothing', ''],
    ['a backtick', 'a`id`b'],
    ['a placeholder of the Web UI', 'order-{namespace}'],
    ['two spaces in a row', 'order  1'],
    ['a space at its end', 'order '],
    ['a line break', 'a\nid'],
    ['a control character', 'a\u001b[31m'],
    ['an invisible character', 'order-1\u200b'],
    ['a mark of the writing direction', 'rtl-\u202egnp.exe'],
    ['a look-alike', '\u043erder-1'],
    ['a space that is none', 'order\u00a01'],
    ['a symbol', 'order-\u{1f4b8}'],
  ] as const) {
    it(`is not printed for an id with ${what}`, () => {
      assert.equal(shellWord(id), null);
      assert.equal(shellCommand`inbox show ${id}`, null);
    });
  }

  it('hands over any id that it prints, and no other', () => {
    const ids = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(ids, (id) => {
        const word = shellWord(id);
        if (word !== null) assert.deepEqual(wordsOf(word), [id]);
      }),
      { numRuns: 60 },
    );
  });
});
