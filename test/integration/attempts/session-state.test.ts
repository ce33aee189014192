/** Session state that a handler leaves behind never reaches the next attempt on the same connection. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Pool } from 'pg';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { startPgBouncer, withoutPgBouncer } from '../../support/pgbouncer.ts';
import type { PgBouncer, PoolMode } from '../../support/pgbouncer.ts';
import { eventually } from '../../support/wait.ts';

/** `leave`: a statement that leaves session state. `look`: a query whose result shows that state. */
const leaks: Record<string, { leave: string; look: string }> = {
  'a setting': { leave: `set work_mem = '5MB'`, look: 'show work_mem' },
  'a custom setting': {
    leave: `select set_config('app.tenant', '7', false)`,
    look: `select nullif(current_setting('app.tenant', true), '')`,
  },
  'a setting by a function': {
    leave: 'select leave_setting()',
    look: `select nullif(current_setting('app.user', true), '')`,
  },
  'a search_path': { leave: 'set search_path = pg_catalog', look: 'show search_path' },
  'a time zone': { leave: `set time zone 'Asia/Tokyo'`, look: 'show timezone' },
  'a role': { leave: 'set role inbox_reader', look: 'select current_user' },
  'a role by set_config': {
    leave: `select set_config('role', 'inbox_reader', false)`,
    look: 'select current_user',
  },
  'a role for the transaction by set_config': {
    leave: `select pg_catalog.set_config('role', 'inbox_reader', true)`,
    look: 'select current_user',
  },
  'a role by a function': { leave: `select leave_role()`, look: 'select current_user' },
  'read-only transactions': {
    leave: 'set session characteristics as transaction read only',
    look: 'show default_transaction_read_only',
  },
  'another isolation level': {
    leave: 'set session characteristics as transaction isolation level serializable',
    look: 'show transaction_isolation',
  },
  'a replication role': {
    leave: 'set session_replication_role = replica',
    look: 'show session_replication_role',
  },
  'durability turned off': { leave: 'set synchronous_commit = off', look: 'show synchronous_commit' },
  'an advisory lock': {
    leave: 'select pg_advisory_lock(42)',
    look: `select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()`,
  },
  'an advisory lock by a function': {
    leave: 'select leave_lock()',
    look: `select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()`,
  },
  'a temporary table': { leave: 'create temp table leaked (x int)', look: `select to_regclass('leaked')` },
  'a temporary table by a function': {
    leave: 'select leave_table()',
    look: `select to_regclass('left_table')`,
  },
  'a temporary table by SELECT INTO': {
    leave: 'select 1 as x into temp leaked_too',
    look: `select to_regclass('leaked_too')`,
  },
  'a LISTEN': {
    leave: 'listen leaked',
    look: 'select count(*)::int from pg_listening_channels()',
  },
  'a cursor WITH HOLD': {
    leave: 'declare leaked cursor with hold for select generate_series(1, 10)',
    look: 'select count(*)::int from pg_cursors where is_holdable',
  },
  'a SET after a comment': { leave: `/* set nothing */ set work_mem = '6MB'`, look: 'show work_mem' },
  'a SET in a DO block': { leave: `do $$ begin set work_mem = '7MB'; end $$`, look: 'show work_mem' },
};
/** Only for direct connections: behind a pooler, prepared statements must not be dropped, because the pooler tracks them. */
const directLeaks: typeof leaks = {
  'a prepared statement': {
    leave: 'prepare leaked as select 1',
    look: 'select count(*)::int from pg_prepared_statements where from_sql',
  },
  'DEALLOCATE ALL': { leave: 'deallocate all', look: 'select 1' },
};

const FUNCTIONS = `
  create function public.leave_setting() returns text language sql as $$ select set_config('app.user', 'ada', false) $$;
  create function public.leave_role() returns text language sql as $$ select set_config('role', 'inbox_worker', false) $$;
  create function public.leave_lock() returns void language sql as $$ select pg_advisory_lock(43) $$;
  create function public.leave_table() returns void language plpgsql as $$ begin create temp table left_table (x int); end $$;`;

const sql = defineCommand({
  type: 'Sql',
  express: true,
  schema: z.object({ sql: z.string(), fails: z.boolean().optional() }),
  retry: { maximumAttempts: 1 },
  async handle({ payload, tx }) {
    const answer: unknown = await tx.query(payload.sql);
    if (payload.fails) throw new Error('expected failure');
    const [first] = (answer as { rows?: object[] }).rows ?? [];
    return first === undefined ? null : (Object.values(first)[0] as string);
  },
});

for (const mode of ['direct', 'session', 'transaction'] satisfies (PoolMode | 'direct')[]) {
  const skip = mode !== 'direct' && withoutPgBouncer;
  describe(`session state after an attempt, ${mode} connection`, { skip }, () => {
    let fixture: TestInbox;
    let bouncer: PgBouncer | undefined;
    let inbox: Inbox;
    let count = 0;

    before(async () => {
      fixture = await createTestInbox();
      await fixture.pool.query(FUNCTIONS);
      // One server connection, so that the next attempt runs on the same one.
      if (mode !== 'direct') {
        const settings = { default_pool_size: mode === 'session' ? 20 : 1 };
        bouncer = await startPgBouncer(fixture.database.url, { poolMode: mode, settings });
      }
      inbox = await createInbox({ pool: fixture.pool });
      const single = { concurrency: 1, expressConcurrency: 1, retryConcurrency: 1 };
      const url = bouncer?.url ?? fixture.database.url;
      await fixture.startWorker([sql], single, url);
    });
    after(async () => {
      await inbox.close();
      await fixture.close();
      await bouncer?.stop();
    });

    const run = async (text: string, fails = false) => {
      const messageId = fixture.id(`${mode}-${(count += 1)}`);
      return inbox.execute({ messageId, type: 'Sql', payload: { sql: text, fails } });
    };

    const all = mode === 'direct' ? { ...leaks, ...directLeaks } : leaks;
    for (const [what, { leave, look }] of Object.entries(all)) {
      it(`is reset after ${what}`, async () => {
        const clean = await run(look);
        await run(leave);
        assert.deepEqual(await run(look), clean);
      });

      it(`is reset after ${what} if the handler fails`, async () => {
        const clean = await run(look);
        await assert.rejects(run(leave, true));
        assert.deepEqual(await run(look), clean);
      });
    }

    it('includes no advisory lock while the connection waits for the next attempt', async () => {
      await run('select pg_advisory_lock(44)');
      const held = `select from pg_locks where locktype = 'advisory' and objid = 44
        and database = (select oid from pg_database where datname = current_database())`;
      // The unlock is sent after the COMMIT.
      await eventually('the lock is released', async () => (await rows(fixture.pool, held)).length === 0);
    });
  });
}

describe('another client behind the same PgBouncer in transaction mode', { skip: withoutPgBouncer }, () => {
  it('sees no session state that a handler left', async () => {
    const fixture = await createTestInbox();
    const bouncer = await startPgBouncer(fixture.database.url, {
      poolMode: 'transaction',
      settings: { default_pool_size: 1 },
    });
    const neighbor = new Pool({ connectionString: bouncer.url, max: 1 });
    const inbox = await createInbox({ pool: fixture.pool });
    try {
      await fixture.pool.query(FUNCTIONS);
      await fixture.startWorker([sql], {}, bouncer.url);
      for (const [what, { leave, look }] of Object.entries(leaks)) {
        const ask = async () => Object.values((await neighbor.query<object>(look)).rows[0]!)[0] as unknown;
        const clean = await ask();
        await inbox.execute({
          messageId: fixture.id(`beside ${what}`),
          type: 'Sql',
          payload: { sql: leave },
        });
        assert.deepEqual(await ask(), clean, what);
      }
    } finally {
      await inbox.close();
      await neighbor.end();
      await fixture.close();
      await bouncer.stop();
    }
  });
});
