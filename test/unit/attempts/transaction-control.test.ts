import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { endsTransaction, transactionStatement } from '../../../src/attempts/transaction-control.ts';
import { fc } from '../../support/random.ts';

const { array, assert: check, constantFrom, property, string } = fc;

const ENDING = [
  'commit',
  'COMMIT WORK;',
  'commit and chain',
  "commit prepared 'x'",
  'end',
  'End Transaction',
  'abort',
  'rollback',
  'rollback and chain',
  'Rollback Work And No Chain',
  'rollback transaction',
  "prepare transaction 'x'",
  ' \n\t-- first\n/* then /* nested */ */ commit',
  'select 1; commit; select 2',
  ';;rollback',
  'commit/**/',
  'commit--',
  "select 'a''; '; rollback",
  "select E'\\''; rollback",
  "select e'a''\\'; '; rollback",
  'select $$ ; $$; rollback',
  'select $tag$ $$ ; $tag$; rollback',
  'select a$b$ from t; rollback; select $b$',
  'select $1; rollback',
  `select "a;""b"; rollback`,
  'do $$ begin null; end $$; commit',
  "select U&'\\0041'; commit",
];

const HARMLESS = [
  '',
  ';',
  'begin',
  'savepoint one',
  'release one',
  'rollback to one',
  'rollback to savepoint one',
  'ROLLBACK WORK TO one',
  'rollback transaction to savepoint commit',
  'select 1 as commit',
  'select commit from rollback',
  "insert into words values ('commit; rollback')",
  "select E'\\'; commit; '",
  'select $$; commit; $$',
  'select $a$; commit $a; rollback; $$ $a$',
  `select "; commit; "`,
  '-- ; commit\nselect 1',
  '/* ; commit; /* ; */ ; rollback */ select 1',
  'do $$ begin perform 1; end $$',
  "prepare one as select 'x'",
  'committed',
  'commit$ted',
  'prepare transactions',
  'endless; rollbacks',
  "select 'never closed; commit",
  '/* never closed; commit',
  'select case when true then 1 end',
];

describe('endsTransaction', () => {
  for (const sql of ENDING)
    it(`finds the end of the transaction in: ${sql}`, () => assert.equal(endsTransaction(sql), true));
  for (const sql of HARMLESS)
    it(`finds no end of the transaction in: ${sql}`, () => assert.equal(endsTransaction(sql), false));

  it('ignores quoted text and comments in any combination of statements', () => {
    const harmless = constantFrom(...HARMLESS.filter((sql) => !/never closed|^--/.test(sql)));
    check(
      property(array(harmless), (statements) => {
        assert.equal(endsTransaction(statements.join(' ; ')), false);
        assert.equal(endsTransaction([...statements, 'commit'].join(' ; ')), true);
        assert.equal(endsTransaction(['rollback', ...statements].join(' ; ')), true);
      }),
    );
  });

  it('reads any text to the end', () => {
    const pieces = constantFrom(
      "'",
      '"',
      '$',
      '$$',
      '/*',
      '*/',
      '--',
      '\n',
      'e',
      "E'",
      '\\',
      ';',
      'commit',
      ' ',
    );
    check(
      property(array(pieces), string(), (parts, text) => {
        assert.equal(typeof endsTransaction(parts.join('') + text), 'boolean');
      }),
    );
  });

  it('reads statements of several megabytes', () => {
    const long = 'x'.repeat(4_000_000);
    assert.equal(endsTransaction(`insert into t values ('${long}'); commit`), true);
    assert.equal(endsTransaction(`insert into t values (E'${long}', $$${long}$$) /* ${long} */`), false);
  });
});

const begin = (unsupported: string | null = null) => ({ kind: 'begin', unsupported });

describe('transactionStatement', () => {
  for (const [sql, expected] of [
    ['BEGIN;', begin()],
    [' begin -- now\n work', begin()],
    ['start transaction', begin()],
    ['begin isolation level read committed, read write, not deferrable', begin()],
    ['begin transaction isolation level repeatable read', begin('repeatable read')],
    [
      'start transaction read only, isolation level serializable',
      begin('read only isolation level serializable'),
    ],
    ['commit', { kind: 'commit' }],
    ['END WORK;', { kind: 'commit' }],
    ['commit transaction and no chain', { kind: 'commit' }],
    ['rollback', { kind: 'rollback' }],
    ['abort transaction', { kind: 'rollback' }],
    ['commit and chain', { kind: 'ending', what: 'COMMIT AND CHAIN' }],
    ['rollback and chain', { kind: 'ending', what: 'ROLLBACK AND CHAIN' }],
    ["commit prepared 'x'", { kind: 'ending', what: 'COMMIT PREPARED' }],
    ["prepare transaction 'x'", { kind: 'ending', what: 'PREPARE TRANSACTION' }],
    ['begin; select 1; commit', { kind: 'ending', what: 'BEGIN among other statements' }],
    ['select 1; rollback', { kind: 'ending', what: 'ROLLBACK among other statements' }],
  ] as const) {
    it(`recognizes: ${sql}`, () => assert.deepEqual(transactionStatement(sql), expected));
  }

  for (const sql of HARMLESS.filter((text) => text !== 'begin')) {
    it(`returns null for: ${sql}`, () => assert.equal(transactionStatement(sql), null));
  }

  it('finds a statement in every text for which endsTransaction is true', () => {
    for (const sql of ENDING) assert.notEqual(transactionStatement(sql), null, sql);
  });
});
