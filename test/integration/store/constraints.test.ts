/**
 * The rules of the state machine that one row can break. For each rule, a row that breaks only this rule, and the name of
 * the constraint that rejects it.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { DatabaseError } from 'pg';
import { STATUSES } from '../../../src/core/protocol.ts';
import type { EntryStatus } from '../../../src/core/protocol.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { rows } from '../../support/inbox.ts';

type Row = Record<string, unknown>;

const NOW = new Date();
const PENDING: Row = { message_id: 'm', command_type: 'Pay', payload: '{}', fingerprint: Buffer.of(1) };
/** A legal row for each status. */
const LEGAL: Record<EntryStatus, Row> = {
  Pending: PENDING,
  Processing: { ...PENDING, status: 'Processing', attempt: 1, claimed_at: NOW },
  Completed: { ...PENDING, status: 'Completed', attempt: 1, claimed_at: NOW, processed_at: NOW, result: '1' },
  Failed: {
    ...PENDING,
    status: 'Failed',
    attempt: 1,
    claimed_at: NOW,
    retry_count: 1,
    error: 'Error: x',
    next_retry_at: NOW,
  },
  DeadLetter: {
    ...PENDING,
    status: 'DeadLetter',
    attempt: 1,
    claimed_at: NOW,
    retry_count: 1,
    error: 'Error: x',
  },
};

const PRUNED: Row = { ...LEGAL.Completed, payload: null, result: null, pruned_at: NOW };

const LETTER: Row = {
  message_id: 'dead',
  generation: 0,
  command_type: 'Pay',
  payload: '{}',
  metadata: '{}',
  error_type: 'Error',
  error: 'Error: x',
  failure_group: 'Pay/Error/1',
  reason: 'exhausted',
  retry_count: 1,
};
const RESOLVED: Row = { resolution: 'replayed', resolved_at: NOW, resolved_by: 'ada' };

describe('the constraints of the schema', () => {
  let database: TestDatabase;

  before(async () => {
    database = await createTestDatabase();
    await tryInsert('entries', { ...LEGAL.DeadLetter, message_id: 'dead' }, 'keep');
  });
  after(() => database.drop());

  /**
   * Returns the name of the constraint that rejects the row, or null if the row is accepted. Rolls back unless `keep` is
   * given.
   */
  async function tryInsert(table: string, row: Row, keep?: 'keep'): Promise<string | null> {
    const names = Object.keys(row);
    const client = await database.pool.connect();
    try {
      await client.query('begin');
      await client.query(
        `insert into inbox.${table} (${names.join(', ')}) values (${names.map((_, index) => `$${index + 1}`).join(', ')})`,
        Object.values(row),
      );
      await client.query(keep ? 'commit' : 'rollback');
      return null;
    } catch (error) {
      await client.query('rollback');
      if (error instanceof DatabaseError && error.constraint) return error.constraint;
      throw error;
    } finally {
      client.release();
    }
  }

  for (const status of STATUSES) {
    it(`accept a legal entry that is ${status}`, async () => {
      assert.equal(await tryInsert('entries', LEGAL[status]), null);
    });
  }

  it('accept a pruned entry', async () => {
    assert.equal(await tryInsert('entries', PRUNED), null);
  });

  it('allow exactly the states of the contract', async () => {
    const states = await rows<{ state: string }>(
      database.pool,
      'select unnest(enum_range(null::inbox.entry_status))::text as state',
    );
    assert.deepEqual(
      states.map(({ state }) => state),
      [...STATUSES],
    );
  });

  const illegal: [what: string, row: Row, constraint: string][] = [
    ['Pending with a next retry', { ...LEGAL.Pending, next_retry_at: NOW }, 'failed_has_next_retry'],
    ['Processing with a next retry', { ...LEGAL.Processing, next_retry_at: NOW }, 'failed_has_next_retry'],
    ['Completed with a next retry', { ...LEGAL.Completed, next_retry_at: NOW }, 'failed_has_next_retry'],
    ['DeadLetter with a next retry', { ...LEGAL.DeadLetter, next_retry_at: NOW }, 'failed_has_next_retry'],
    ['Failed without a next retry', { ...LEGAL.Failed, next_retry_at: null }, 'failed_has_next_retry'],
    ['Completed without a completion time', { ...LEGAL.Completed, processed_at: null }, 'completed_has_time'],
    ['Pending with a completion time', { ...LEGAL.Pending, processed_at: NOW }, 'completed_has_time'],
    ['Failed with a completion time', { ...LEGAL.Failed, processed_at: NOW }, 'completed_has_time'],
    ['DeadLetter with a completion time', { ...LEGAL.DeadLetter, processed_at: NOW }, 'completed_has_time'],
    ['Pending with a result', { ...LEGAL.Pending, result: '1' }, 'only_completed_has_result'],
    ['Processing with a result', { ...LEGAL.Processing, result: 'null' }, 'only_completed_has_result'],
    ['DeadLetter with a result', { ...LEGAL.DeadLetter, result: '1' }, 'only_completed_has_result'],
    ['Failed without an error', { ...LEGAL.Failed, error: null }, 'failure_has_error'],
    ['DeadLetter without an error', { ...LEGAL.DeadLetter, error: null }, 'failure_has_error'],
    ['Completed with an error', { ...LEGAL.Completed, error: 'Error: x' }, 'completed_has_no_error'],
    ['an attempt without a claim time', { ...LEGAL.Processing, claimed_at: null }, 'attempt_was_claimed'],
    ['Processing without an attempt', { ...LEGAL.Processing, attempt: 0 }, 'new_was_never_tried'],
    ['Completed without an attempt', { ...LEGAL.Completed, attempt: 0 }, 'new_was_never_tried'],
    ['more failures than attempts', { ...LEGAL.Failed, retry_count: 2 }, 'counters_agree'],
    ['a negative number of failures', { ...LEGAL.Pending, retry_count: -1 }, 'counters_agree'],
    ['a negative generation', { ...LEGAL.Pending, generation: -1 }, 'counters_agree'],
    ['a negative attempt number', { ...LEGAL.Pending, attempt: -1, claimed_at: NOW }, 'counters_agree'],
    ['an error over 4 KB', { ...LEGAL.Failed, error: 'é'.repeat(2_049) }, 'error_is_short'],
    ['metadata that is not an object', { ...LEGAL.Pending, metadata: '[]' }, 'metadata_is_object'],
    ['no command type', { ...LEGAL.Pending, command_type: '' }, 'command_type_is_usable'],
    ['a long command type', { ...LEGAL.Pending, command_type: 'x'.repeat(201) }, 'command_type_is_usable'],
    ['an empty id', { ...LEGAL.Pending, message_id: '' }, 'message_id_is_usable'],
    ['a blank id', { ...LEGAL.Pending, message_id: ' \u3000' }, 'message_id_is_usable'],
    ['an id with a control character', { ...LEGAL.Pending, message_id: 'a\n' }, 'message_id_is_usable'],
    ['an id of 201 bytes', { ...LEGAL.Pending, message_id: 'x'.repeat(201) }, 'message_id_is_usable'],
    [
      'no payload although it was not pruned',
      { ...LEGAL.Completed, payload: null },
      'only_pruned_has_no_payload',
    ],
    ['pruned with its payload', { ...PRUNED, payload: '{}' }, 'pruned_is_over_and_empty'],
    ['pruned with its metadata', { ...PRUNED, metadata: '{"a":1}' }, 'pruned_is_over_and_empty'],
    ['pruned with its result', { ...PRUNED, result: '1' }, 'pruned_is_over_and_empty'],
    [
      'pruned before it ended',
      { ...LEGAL.Failed, payload: null, pruned_at: NOW },
      'pruned_is_over_and_empty',
    ],
    ['an id that already exists', { ...LEGAL.Pending, message_id: 'dead' }, 'entries_message_id_key'],
  ];
  for (const [what, row, constraint] of illegal) {
    it(`reject an entry: ${what}`, async () => assert.equal(await tryInsert('entries', row), constraint));
  }

  it('are all covered by these tests', async () => {
    const [check] = await rows<{ source: string }>(
      database.pool,
      `select prosrc as source from pg_proc where oid = 'inbox.check_entry'::regproc`,
    );
    const named = new Set([...check!.source.matchAll(/broken := '(\w+)'/g)].map(([, name]) => name));
    assert.ok(named.size > 10);
    const covered = new Set(illegal.map(([, , constraint]) => constraint));
    assert.deepEqual(
      [...named].filter((name) => !covered.has(name!)),
      [],
    );
  });

  it('also apply to updates', async () => {
    await assert.rejects(
      database.pool.query(`update inbox.entries set status = 'Failed' where message_id = 'dead'`),
      (error) => error instanceof DatabaseError && error.constraint === 'failed_has_next_retry',
    );
    await assert.rejects(
      database.pool.query(`update inbox.entries set metadata = '[]' where message_id = 'dead'`),
      (error) => error instanceof DatabaseError && error.constraint === 'metadata_is_object',
    );
  });

  it('allow one open dead letter per message, and one dead letter per generation', async () => {
    assert.equal(await tryInsert('dead_letters', { ...LETTER, ...RESOLVED }, 'keep'), null);
    assert.equal(
      await tryInsert('dead_letters', { ...LETTER, ...RESOLVED }),
      'dead_letters_message_id_generation_key',
    );
    assert.equal(await tryInsert('dead_letters', { ...LETTER, generation: 1 }, 'keep'), null);
    assert.equal(await tryInsert('dead_letters', { ...LETTER, generation: 2 }), 'dead_letters_open');
  });

  const letter = { ...LETTER, generation: 9, ...RESOLVED };
  for (const [what, row, constraint] of [
    ['without a time', { ...letter, resolved_at: null }, 'resolution_is_whole'],
    ['without an actor', { ...letter, resolved_by: null }, 'resolution_is_whole'],
    ['without a kind', { ...letter, resolution: null }, 'resolution_is_whole'],
    ['of an unknown kind', { ...letter, resolution: 'forgotten' }, 'dead_letters_resolution_check'],
  ] as const) {
    it(`reject a dead letter’s resolution ${what}`, async () =>
      assert.equal(await tryInsert('dead_letters', row), constraint));
  }

  for (const [what, table, row, constraint] of [
    [
      'a dead letter without an entry',
      'dead_letters',
      { ...letter, message_id: 'nobody' },
      'dead_letters_message_id_fkey',
    ],
    ['an unknown reason', 'dead_letters', { ...letter, reason: 'bad luck' }, 'dead_letters_reason_check'],
    [
      'a long failure group',
      'dead_letters',
      { ...letter, failure_group: 'é'.repeat(128) },
      'dead_letters_failure_group_check',
    ],
    ['a long error', 'dead_letters', { ...letter, error: 'x'.repeat(4_097) }, 'dead_letters_error_check'],
    [
      'a failure without an entry',
      'failures',
      { message_id: 'nobody', generation: 0, attempt: 1, error_type: 'E', error: 'E', retryable: true },
      'failures_message_id_fkey',
    ],
    [
      'an audit line without an entry',
      'audit',
      { action: 'replay', message_id: 'nobody', actor: 'ada' },
      'audit_message_id_fkey',
    ],
  ] as const) {
    it(`reject ${what}`, async () => assert.equal(await tryInsert(table, row), constraint));
  }

  it('allow one failure per attempt', async () => {
    const failure = {
      message_id: 'dead',
      generation: 0,
      attempt: 1,
      error_type: 'E',
      error: 'E',
      retryable: true,
    };
    assert.equal(await tryInsert('failures', failure, 'keep'), null);
    assert.equal(await tryInsert('failures', failure), 'failures_message_id_attempt_key');
  });
});
