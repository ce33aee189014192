/** The inbox behind PgBouncer with its default settings, in session and transaction mode. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client, Pool } from 'pg';
import { z } from 'zod';
import type { CommandDefinition } from '../../../src/commands/define-command.ts';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { backendOf } from '../../../src/platform/connection.ts';
import { CLAIM_SETTINGS, RECORD_SETTINGS } from '../../../src/platform/connection-settings.ts';
import { createPool, sqlState, withTransaction } from '../../../src/platform/postgres.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { keepsServerConnection } from '../../../src/store/notifications.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { startPgBouncer, withoutPgBouncer } from '../../support/pgbouncer.ts';
import type { PgBouncer, PoolMode } from '../../support/pgbouncer.ts';

const SETTINGS = [
  'lock_timeout',
  'statement_timeout',
  'synchronous_commit',
  'search_path',
  'transaction_isolation',
];

const TYPES = ['Ordinary', 'Express', 'Recorded'];

const wanted = (synchronousCommit: string) => [
  { name: 'lock_timeout', setting: '5000' },
  { name: 'search_path', setting: 'pg_catalog, pg_temp' },
  { name: 'statement_timeout', setting: '15000' },
  { name: 'synchronous_commit', setting: synchronousCommit },
  { name: 'transaction_isolation', setting: 'read committed' },
];

const define = (type: string, express: CommandDefinition['express'] & {}) =>
  defineCommand({
    type,
    express,
    schema: z.object({ fails: z.int() }),
    retry: { maximumAttempts: 3, initialInterval: '10ms' },
    timeout: '7s',
    async handle({ payload, tx, emit, attempt, messageId }) {
      const { rows: settings } = await tx.query(
        'select name, setting from pg_settings where name = any ($1) order by name',
        [['lock_timeout', 'statement_timeout', 'transaction_isolation', 'transaction_read_only']],
      );
      if (attempt <= payload.fails) throw new Error('not yet');
      emit({ aggregateType: 'test', aggregateId: messageId, type: 'Handled', payload: {} });
      return settings.map(({ setting }) => setting as string);
    },
  });

for (const poolMode of ['session', 'transaction'] satisfies PoolMode[]) {
  describe(`behind PgBouncer in ${poolMode} mode`, { skip: withoutPgBouncer }, () => {
    let fixture: TestInbox;
    let bouncer: PgBouncer;
    let pool: Pool;
    let inbox: Inbox;

    before(async () => {
      fixture = await createTestInbox();
      bouncer = await startPgBouncer(fixture.database.url, { poolMode, settings: { default_pool_size: 40 } });
      pool = new Pool({ connectionString: bouncer.url, max: 4 });
      inbox = await createInbox({ pool });
      const commands = [define('Ordinary', false), define('Express', true), define('Recorded', 'recorded')];
      await fixture.startWorker(
        commands,
        { concurrency: 4, expressConcurrency: 4, retryConcurrency: 2 },
        bouncer.url,
      );
    });
    after(async () => {
      await inbox.close();
      await pool.end();
      await fixture.close();
      await bouncer.stop();
    });

    for (const type of TYPES) {
      it(`handles ${type} commands under the attempt's limits`, async () => {
        const messageId = fixture.id(`${poolMode}-${type}`);
        const result = await inbox.execute({ messageId, type, payload: { fails: 0 } }, { timeoutMs: 90_000 });
        assert.deepEqual(result, ['7000', '7000', 'read committed', 'off']);
      });

      it(`retries ${type} commands that fail`, async () => {
        const messageId = fixture.id(`${poolMode}-${type}-fails`);
        await inbox.execute({ messageId, type, payload: { fails: 2 } }, { timeoutMs: 90_000 });
        assert.equal((await fixture.entry(messageId))!.retryCount, 2);
      });
    }

    it('handles many commands at once', async () => {
      const ids = Array.from({ length: 60 }, (_, number) => fixture.id(`${poolMode}-many-${number}`));
      await Promise.all(
        ids.map((messageId, number) =>
          inbox.execute(
            { messageId, type: TYPES[number % 3]!, payload: { fails: 0 } },
            { timeoutMs: 90_000 },
          ),
        ),
      );
      assert.deepEqual(
        await rows(
          fixture.pool,
          `select count(*)::int, max(attempt) from inbox.entries where message_id = any ($1)`,
          [ids],
        ),
        [{ count: 60, max: 1 }],
      );
    });

    const connect = async () => {
      const client = new Client({ connectionString: bouncer.url });
      client.on('error', () => {});
      await client.connect();
      return client;
    };

    it('is distinguished from the other mode, however busy the pooler is', async () => {
      const stop = new AbortController();
      // In session mode each client occupies a server connection, and their number is limited.
      const others = Array.from({ length: poolMode === 'session' ? 4 : 24 }, async () => {
        const client = await connect();
        while (!stop.signal.aborted) await client.query('select 1');
        await client.end();
      });
      try {
        for (let time = 0; time < 20; time += 1) {
          const [listening, beside] = await Promise.all([connect(), connect()]);
          const keeps = await keepsServerConnection(listening, backendOf(listening), (use) => use(beside));
          await Promise.all([listening.end(), beside.end()]);
          assert.equal(keeps, poolMode === 'session', `detection ${time + 1}`);
        }
      } finally {
        stop.abort();
        await Promise.all(others);
      }
    });

    it('applies the settings of a pool to single statements and transactions', async () => {
      const claims = createPool({
        connectionString: bouncer.url,
        max: 2,
        applicationName: 'c',
        settings: CLAIM_SETTINGS,
      });
      const records = createPool({
        connectionString: bouncer.url,
        max: 2,
        applicationName: 'r',
        settings: RECORD_SETTINGS,
      });
      const ask = `select name, setting from pg_settings where name = any ($1) order by name`;
      try {
        assert.deepEqual(await rows(claims, ask, [SETTINGS]), wanted('off'));
        assert.deepEqual(await rows(records, ask, [SETTINGS]), wanted('on'));
        const inTransaction = await withTransaction(
          records,
          async (tx) => (await tx.query(ask, [SETTINGS])).rows,
        );
        assert.deepEqual(inTransaction, wanted('on'));
      } finally {
        await Promise.all([claims.end(), records.end()]);
      }
    });

    it('stops waiting for a lock after the configured time', async () => {
      const settings = { ...RECORD_SETTINGS, lock_timeout: '100ms' };
      const waiting = createPool({ connectionString: bouncer.url, max: 1, applicationName: 'w', settings });
      await fixture.pool.query('create table if not exists public.locked (n int)');
      const holder = await fixture.pool.connect();
      try {
        await holder.query('begin; lock table public.locked');
        const refused = await waiting.query('select * from public.locked').catch((error: unknown) => error);
        assert.equal(sqlState(refused), '55P03');
        await holder.query('commit');
        assert.equal((await waiting.query('select * from public.locked')).rowCount, 0);
      } finally {
        holder.release();
        await waiting.end();
      }
    });

    it('leaves nothing behind for other clients of the pooler', async () => {
      const ask = `select name, setting, source from pg_settings where source = 'session' and name <> all ($1)`;
      const clients = await Promise.all(Array.from({ length: 4 }, () => pool.connect()));
      try {
        for (const client of clients) {
          // PgBouncer sets these itself, to the values that each client connected with.
          const own = [
            'application_name',
            'client_encoding',
            'standard_conforming_strings',
            'DateStyle',
            'TimeZone',
          ];
          assert.deepEqual((await client.query(ask, [own])).rows, []);
          assert.deepEqual((await client.query('select name from pg_prepared_statements')).rows, []);
          assert.deepEqual((await client.query('select * from pg_listening_channels()')).rows, []);
        }
      } finally {
        for (const client of clients) client.release();
      }
    });
  });
}
