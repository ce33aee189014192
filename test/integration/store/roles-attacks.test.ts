/**
 * Each role tries what it must not be able to do: at least one statement for each promise in docs/security.md. What the
 * roles may do is tested in roles.test.ts, roles-worker.test.ts and roles-operator.test.ts.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { DatabaseError } from 'pg';
import { sqlState } from '../../../src/platform/postgres.ts';
import { lockAttempt } from '../../../src/store/entries.ts';
import type { ROLES } from '../../../src/store/roles.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { seedDeadLetters } from '../../support/dead-letters.ts';
import { rows } from '../../support/inbox.ts';
import { createLogin } from '../../support/login.ts';
import type { TestLogin } from '../../support/login.ts';

type Role = (typeof ROLES)[number];
type Attack = [promise: string, statement: string];

const READS_ONLY_OWN = 'a sender reads only what it has sent';
const NO_FORGERY = 'nobody can forge an outcome';
const NO_EDITS = 'nobody can edit what was sent';
const NO_DELETES = 'nobody can delete messages, failures or unpublished events';
const AUDIT_BY_FUNCTIONS = 'only the functions that perform an action can write the audit';
const LEGAL_STEPS = 'an entry can only take legal steps';
const OWNER = 'only the owner can change the schema';

/**
 * The seeded rows: `done` is Completed, `waits` is Pending, `runs` is Processing; `dead` and `gone` are dead letters, and
 * `gone` is discarded.
 */
const ATTACKS: Record<Role, Attack[]> = {
  inbox_sender: [
    [READS_ONLY_OWN, 'select payload from inbox.entries'],
    [READS_ONLY_OWN, 'select message_id from inbox.entries'],
    [READS_ONLY_OWN, 'select * from inbox.dead_letters'],
    [READS_ONLY_OWN, 'table inbox.audit'],
    [READS_ONLY_OWN, 'select * from inbox.sender_limits'],
    [READS_ONLY_OWN, `select inbox.fingerprint('a', '{}')`],
    [
      NO_FORGERY,
      `insert into inbox.entries (message_id, command_type, payload, fingerprint) values ('x', 'x', '{}', 'x')`,
    ],
    [NO_FORGERY, `update inbox.entries set status = 'Completed'`],
    [NO_FORGERY, `select inbox.insert_and_claim('{"messageId": "x", "commandType": "x", "payload": {}}', 1)`],
    [NO_FORGERY, `select inbox.replay_dead_letter('dead', 'alice', null, null, null, null, null)`],
    [NO_FORGERY, `select inbox.discard_dead_letter('dead', 'alice', null, null)`],
    [NO_FORGERY, `select inbox.restore_dead_letter('gone', 'alice', null)`],
    [NO_DELETES, 'delete from inbox.entries'],
    [NO_DELETES, 'truncate inbox.entries'],
    [OWNER, 'select inbox.grant_roles()'],
    [OWNER, 'create table inbox.x (a int)'],
    [OWNER, 'alter table inbox.entries disable trigger all'],
  ],
  inbox_worker: [
    [
      NO_FORGERY,
      `insert into inbox.entries (message_id, command_type, payload, fingerprint, status, processed_at, attempt, claimed_at, result)
       values ('forged', 'Note', '{}', 'x', 'Completed', now(), 1, now(), '{"paid": 1}')`,
    ],
    [
      LEGAL_STEPS,
      `insert into inbox.entries (message_id, command_type, payload, fingerprint, status, attempt, claimed_at)
       values ('forged', 'Note', '{}', 'x', 'Processing', 7, now())`,
    ],
    [
      LEGAL_STEPS,
      `update inbox.entries set status = 'Completed', processed_at = now() where message_id = 'waits'`,
    ],
    [
      LEGAL_STEPS,
      `update inbox.entries set status = 'Pending', processed_at = null, result = null where message_id = 'done'`,
    ],
    [
      LEGAL_STEPS,
      `update inbox.entries set status = 'Processing', attempt = attempt + 1, error = null where message_id = 'dead'`,
    ],
    [
      LEGAL_STEPS,
      `update inbox.entries set status = 'Processing', attempt = attempt + 5, claimed_at = now() where message_id = 'waits'`,
    ],
    [LEGAL_STEPS, `update inbox.entries set attempt = attempt + 1 where message_id = 'runs'`],
    [LEGAL_STEPS, `update inbox.entries set status = 'DeadLetter', error = 'E' where message_id = 'runs'`],
    [LEGAL_STEPS, `update inbox.entries set retry_count = 0, error = 'E' where message_id = 'dead'`],
    [NO_FORGERY, `update inbox.entries set result = '{"paid": true}' where message_id = 'done'`],
    [NO_FORGERY, `update inbox.entries set processed_at = now() where message_id = 'done'`],
    [NO_EDITS, `update inbox.entries set payload = '{"k": "tampered"}' where message_id = 'waits'`],
    [NO_EDITS, `update inbox.entries set message_id = 'renamed' where message_id = 'waits'`],
    [NO_EDITS, `update inbox.entries set command_type = 'Other' where message_id = 'waits'`],
    [NO_EDITS, `update inbox.entries set fingerprint = 'x' where message_id = 'waits'`],
    [NO_EDITS, `update inbox.entries set metadata = '{"a": 1}' where message_id = 'waits'`],
    [NO_EDITS, `update inbox.entries set correlation_id = 'other' where message_id = 'waits'`],
    [NO_EDITS, `update inbox.entries set received_at = now() where message_id = 'waits'`],
    [NO_EDITS, `update inbox.entries set sent_by = 'somebody' where message_id = 'waits'`],
    [NO_EDITS, `update inbox.entries set generation = 7 where message_id = 'waits'`],
    [
      NO_EDITS,
      `update inbox.entries set pruned_at = now(), payload = null, result = null where message_id = 'done'`,
    ],
    [NO_EDITS, `update inbox.failures set error = 'nothing happened'`],
    [NO_EDITS, `update inbox.dead_letters set payload = '{}'`],
    [NO_EDITS, `update inbox.outbox set payload = '{}'`],
    [NO_EDITS, `update inbox.outbox set published_at = null where published_at is not null`],
    [NO_EDITS, `update inbox.outbox set published_at = now() where published_at is not null`],
    [
      NO_FORGERY,
      `update inbox.dead_letters set resolution = 'discarded', resolved_at = now(), resolved_by = 'alice'`,
    ],
    [
      AUDIT_BY_FUNCTIONS,
      `insert into inbox.audit (action, message_id, actor) values ('discard', 'done', 'alice')`,
    ],
    [AUDIT_BY_FUNCTIONS, 'select from inbox.audit'],
    [AUDIT_BY_FUNCTIONS, `update inbox.audit set actor = 'x'`],
    [AUDIT_BY_FUNCTIONS, `update inbox.campaigns set state = 'Running', ended_at = null`],
    [
      AUDIT_BY_FUNCTIONS,
      `insert into inbox.campaigns (actor, filter, canary, rate, concurrency, stop_above, total) values ('a', '{}', 0, 1, 1, 0, 1)`,
    ],
    [NO_DELETES, 'delete from inbox.entries'],
    [NO_DELETES, 'delete from inbox.failures'],
    [NO_DELETES, 'delete from inbox.dead_letters'],
    [NO_DELETES, 'delete from inbox.outbox'],
    [NO_DELETES, 'delete from inbox.campaigns'],
    [NO_DELETES, 'delete from inbox.alerts'],
    [NO_DELETES, 'delete from inbox.workers'],
    [NO_DELETES, 'delete from inbox.outbox_parked'],
    [NO_DELETES, `select inbox.prune_entries('{}', now())`],
    [OWNER, 'select from inbox.sender_limits'],
    [OWNER, 'update inbox.identity set id = gen_random_uuid()'],
    [OWNER, 'select inbox.grant_roles()'],
    [OWNER, 'create table inbox.x (a int)'],
    [OWNER, 'alter table inbox.entries disable trigger all'],
    [OWNER, 'set session_replication_role = replica'],
  ],
  inbox_operator: [
    [
      NO_FORGERY,
      `update inbox.entries set status = 'Completed', processed_at = now(), error = null, result = '1' where message_id = 'dead'`,
    ],
    [
      NO_FORGERY,
      `insert into inbox.entries (message_id, command_type, payload, fingerprint) values ('forged', 'Note', '{}', 'x')`,
    ],
    [
      NO_FORGERY,
      `update inbox.dead_letters set resolution = 'discarded', resolved_at = now(), resolved_by = 'alice'`,
    ],
    [NO_FORGERY, `select inbox.discard_dead_letter('dead', 'alice', null, null)`],
    [NO_FORGERY, `select inbox.replay_dead_letter('dead', 'alice', null, '{}', null, null, null)`],
    [NO_EDITS, `update inbox.entries set payload = '{"k": "tampered"}', fingerprint = 'x'`],
    [NO_EDITS, `update inbox.entries set message_id = 'renamed' where message_id = 'done'`],
    [
      NO_EDITS,
      `update inbox.entries set payload = null, metadata = '{}', pruned_at = now() where message_id = 'dead'`,
    ],
    [NO_EDITS, `update inbox.failures set error = 'nothing happened', error_type = 'X'`],
    [NO_EDITS, `update inbox.outbox set published_at = now()`],
    [NO_EDITS, `update inbox.outbox_parked set next_try_at = now()`],
    [NO_DELETES, 'delete from inbox.dead_letters'],
    [NO_DELETES, 'delete from inbox.alerts'],
    [NO_DELETES, 'delete from inbox.outbox'],
    [NO_DELETES, 'delete from inbox.entries'],
    [NO_DELETES, 'delete from inbox.retention_left'],
    [
      AUDIT_BY_FUNCTIONS,
      `insert into inbox.audit (action, message_id, actor) values ('replay', 'done', 'alice')`,
    ],
    [AUDIT_BY_FUNCTIONS, `update inbox.audit set actor = 'x'`],
    [AUDIT_BY_FUNCTIONS, `select inbox.audit_event(gen_random_uuid(), 'skip-event', 'alice', null)`],
    [AUDIT_BY_FUNCTIONS, `update inbox.campaigns set state = 'Running', ended_at = null`],
    [
      AUDIT_BY_FUNCTIONS,
      `select inbox.change_campaign(gen_random_uuid(), '{Running}', 'Paused', 'campaign-paused', 'a', null)`,
    ],
    [
      AUDIT_BY_FUNCTIONS,
      `insert into inbox.campaign_items (campaign_id, position, dead_letter_id, message_id, generation)
       select c.id, 1, gen_random_uuid(), 'dead', 0 from inbox.campaigns c`,
    ],
    [OWNER, `insert into inbox.sender_limits values ('orders', '', null)`],
    [OWNER, 'update inbox.retention set settled_to = gen_random_uuid()'],
    [OWNER, 'select inbox.grant_roles()'],
    [OWNER, 'alter table inbox.entries disable trigger all'],
  ],
  inbox_reader: [
    ['a reader cannot see contents', 'select payload from inbox.entries'],
    ['a reader cannot see contents', 'select fingerprint from inbox.entries'],
    ['a reader cannot see contents', 'select e from inbox.entries e'],
    ['a reader cannot see contents', 'select error from inbox.failures'],
    ['a reader cannot see contents', 'copy inbox.entries to stdout'],
    ['a reader cannot see contents', 'explain (analyze) select payload from inbox.entries'],
    ['a reader cannot change anything', `select inbox.send('x', 'x', '{}')`],
    ['a reader cannot change anything', `select inbox.entry_of('done')`],
    ['a reader cannot change anything', `select inbox.settled_entries('{}')`],
    ['a reader cannot change anything', `update inbox.entries set status = 'Completed'`],
    ['a reader cannot change anything', 'delete from inbox.audit'],
    ['a reader cannot change anything', 'select inbox.lock_retention()'],
    ['a reader cannot change anything', 'select from inbox.entries for update'],
    ['a reader cannot change anything', 'select id from inbox.campaigns for update'],
  ],
};

/** Statements that a trigger rejects. */
const GUARDED = /^(?:update|delete from) inbox\.(entries|failures|dead_letters|outbox|campaigns)\b/;

describe('forbidden statements', () => {
  let database: TestDatabase;
  const logins = {} as Record<Role, TestLogin>;

  before(async () => {
    database = await createTestDatabase();
    for (const role of Object.keys(ATTACKS) as Role[]) logins[role] = await createLogin(database, role);
    const { pool } = database;
    await pool.query(
      `select inbox.send(id, 'Note', '{"k": 1}') from unnest('{done,waits,runs}'::text[]) as id`,
    );
    await pool.query(`
      update inbox.entries set status = 'Processing', attempt = 1, claimed_at = now() where message_id in ('done', 'runs');
      update inbox.entries set status = 'Completed', processed_at = now(), result = '{"paid": false}' where message_id = 'done';
      insert into inbox.outbox (aggregatetype, aggregateid, type, payload, message_id, published_at)
      values ('a', '1', 'T', '{"n": 1}', 'done', null), ('a', '2', 'T', '{"n": 2}', 'done', now());
      insert into inbox.workers (identity, namespace, task_queue, command_types) values ('w', 'n', 'q', '{}');
      insert into inbox.alerts (failure_group, command_type, error_type, count, first_dead_at, last_dead_at, message_ids, waiting)
      values ('g', 'Note', 'E', 1, now(), now(), '{dead}', '{hook}');
      insert into inbox.outbox_parked (aggregate_key, event_id, attempts, error, failed_at, next_try_at)
      values ('k', gen_random_uuid(), 1, 'E', now(), now());
      insert into inbox.retention_left select id from inbox.entries where message_id = 'waits'`);
    await seedDeadLetters(pool, ['dead', 'gone'], { commandType: 'Note', payload: {}, failureGroup: 'g' });
    await pool.query(`select inbox.discard_dead_letter('gone', 'ada', null, null)`);
    await pool.query(`
      insert into inbox.campaigns (actor, filter, canary, rate, concurrency, stop_above, total, state, ended_at)
      values ('ada', '{}', 0, 1, 1, 0, 1, 'Aborted', now())`);
  });
  after(async () => {
    for (const login of Object.values(logins)) await login.drop();
    await database.drop();
  });

  const dump = () =>
    rows<{ row: string }>(
      database.pool,
      `select to_jsonb(t)::text as row from inbox.entries t union all select to_jsonb(t)::text from inbox.dead_letters t
       union all select to_jsonb(t)::text from inbox.failures t union all select to_jsonb(t)::text from inbox.outbox t
       union all select to_jsonb(t)::text from inbox.audit t union all select to_jsonb(t)::text from inbox.campaigns t
       union all select to_jsonb(t)::text from inbox.campaign_items t union all select to_jsonb(t)::text from inbox.alerts t
       union all select to_jsonb(t)::text from inbox.sender_limits t order by 1`,
    );

  for (const [role, attacks] of Object.entries(ATTACKS) as [Role, Attack[]][]) {
    for (const [promise, statement] of attacks) {
      it(`${role}: ${promise}: ${statement.replaceAll(/\s+/g, ' ').slice(0, 110)}`, async () => {
        // An illegal transition may violate a constraint of the row as well.
        const expected = promise === LEGAL_STEPS ? ['42501', '23514'] : ['42501'];
        await assert.rejects(logins[role].pool.query(statement), (error) =>
          expected.includes(sqlState(error) ?? ''),
        );
      });
    }
  }

  it('change nothing, and are valid SQL', async () => {
    const untouched = await dump();
    for (const attacks of Object.values(ATTACKS)) {
      for (const [, statement] of attacks) {
        const client = await database.pool.connect();
        await client.query('begin');
        const answer = await client.query(statement).then(
          () => 'done',
          (error: unknown) => sqlState(error),
        );
        await client.query('rollback');
        client.release();
        // Some statements break other rules for the owner too. But a role must be rejected because it lacks the right,
        // not because the statement is wrong.
        assert.ok(!['42601', '42703', '42883', '42P01'].includes(String(answer)), `${answer}: ${statement}`);
      }
    }
    assert.deepEqual(await dump(), untouched);
  });

  it('are rejected by triggers if the login has rights of its own', async () => {
    const { pool, name } = logins.inbox_reader;
    await database.pool.query(`grant all on all tables in schema inbox to ${name};
      grant execute on function inbox.is_owner to ${name}`);
    const guarded = new Map<string, number>();
    for (const [, statement] of [...ATTACKS.inbox_worker, ...ATTACKS.inbox_operator]) {
      const [, table] = GUARDED.exec(statement) ?? [];
      // A relay marks events as published, so no trigger rejects this.
      if (table === undefined || statement === 'update inbox.outbox set published_at = now()') continue;
      guarded.set(table, (guarded.get(table) ?? 0) + 1);
      const byTrigger = (error: DatabaseError) => {
        // A missing right, for example on the table, would be rejected elsewhere.
        assert.match(error.where ?? '', /^PL\/pgSQL function inbox\.\w+\(\) line \d+ at RAISE/, statement);
        return true;
      };
      await assert.rejects(pool.query(statement), byTrigger, `not rejected: ${statement}`);
    }
    assert.deepEqual([...guarded.keys()].sort(), [
      'campaigns',
      'dead_letters',
      'entries',
      'failures',
      'outbox',
    ]);
    assert.ok(guarded.get('entries')! > 20, `${guarded.get('entries')} statements on entries`);
    await database.pool.query(`revoke all on all tables in schema inbox from ${name};
      revoke execute on function inbox.is_owner from ${name}`);
  });

  it('an operator’s open transaction does not block attempts, and retention cannot prune too much', async () => {
    const { pool } = logins.inbox_operator;
    const client = await pool.connect();
    await client.query('begin');
    await client.query(`select * from inbox.lost_attempts('-1 day')`);
    await client.query(
      `with made as (
         insert into inbox.campaigns (actor, filter, canary, rate, concurrency, stop_above, total)
         values ('mallory', '{}', 0, 1, 1, 0, 3) returning id)
       insert into inbox.campaign_items (campaign_id, position, dead_letter_id, message_id, generation)
       select made.id, row_number() over (), gen_random_uuid(), e.message_id, 0 from made, inbox.entries e`,
    );
    const attempt = await database.pool.connect();
    await attempt.query('begin');
    assert.notEqual(await lockAttempt(attempt, 'runs', 1, 1_000), null);
    await attempt.query('rollback');
    attempt.release();
    await client.query('rollback');
    client.release();

    const mark = async () => (await rows(database.pool, 'select settled_to from inbox.retention'))[0];
    const untouched = await mark();
    await pool.query(`select inbox.move_settled_mark('ffffffff-ffff-ffff-ffff-ffffffffffff')`);
    assert.deepEqual(await mark(), untouched);
    // A replayed dead letter whose command has not ended yet must not be deleted.
    await database.pool.query(`select inbox.replay_dead_letter('dead', 'ada', null, null, null, null, null)`);
    const { rows: replayed } = await pool.query<{ id: string }>(
      `select id from inbox.dead_letters where message_id = 'dead'`,
    );
    const { rows: deleted } = await pool.query('select inbox.delete_replayed($1) as count', [
      replayed.map(({ id }) => id),
    ]);
    assert.deepEqual(deleted, [{ count: 0 }]);
  });
});
