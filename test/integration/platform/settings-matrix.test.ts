/**
 * Tests settings from a URL, a role or a database, direct and behind PgBouncer, with every way in. None of them may change
 * the outcome. Prints the settings, the values that an attempt has instead, and the tested combinations.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'pg';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { IdempotencyConflictError } from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { runCli } from '../../support/cli.ts';
import { createLogin } from '../../support/login.ts';
import type { TestLogin } from '../../support/login.ts';
import { startPgBouncer, withoutPgBouncer } from '../../support/pgbouncer.ts';
import type { PgBouncer, PoolMode } from '../../support/pgbouncer.ts';
import { recorder, startRelay } from '../../support/outbox.ts';
import { eventually } from '../../support/wait.ts';

/** Longer than every limit below. */
const HANDLER_MS = 1_300;

/** The value that an attempt must have instead. `kept` means that the setting is the handler's own. */
const kept = null;
const SETTINGS: Record<string, { hostile: string; attempt: string | null }> = {
  default_transaction_isolation: { hostile: 'serializable', attempt: kept },
  default_transaction_read_only: { hostile: 'on', attempt: kept },
  default_transaction_deferrable: { hostile: 'on', attempt: kept },
  statement_timeout: { hostile: '1s', attempt: '9s' },
  lock_timeout: { hostile: '50ms', attempt: '9s' },
  idle_in_transaction_session_timeout: { hostile: '1s', attempt: '9s' },
  transaction_timeout: { hostile: '1s', attempt: '0' },
  // Shorter than the handler's two pauses together, so that idle connections end well before the next send uses the pool.
  idle_session_timeout: { hostile: '2s', attempt: kept },
  synchronous_commit: { hostile: 'off', attempt: 'on' },
  client_encoding: { hostile: 'LATIN1', attempt: 'UTF8' },
  standard_conforming_strings: { hostile: 'off', attempt: 'on' },
  search_path: { hostile: 'nowhere', attempt: kept },
  DateStyle: { hostile: 'SQL, DMY', attempt: kept },
  IntervalStyle: { hostile: 'sql_standard', attempt: kept },
  TimeZone: { hostile: 'Asia/Kathmandu', attempt: kept },
  bytea_output: { hostile: 'escape', attempt: kept },
  extra_float_digits: { hostile: '-15', attempt: kept },
  escape_string_warning: { hostile: 'off', attempt: kept },
  backslash_quote: { hostile: 'on', attempt: kept },
  transform_null_equals: { hostile: 'on', attempt: kept },
  array_nulls: { hostile: 'off', attempt: kept },
  quote_all_identifiers: { hostile: 'on', attempt: kept },
  row_security: { hostile: 'off', attempt: kept },
  check_function_bodies: { hostile: 'off', attempt: kept },
  xmlbinary: { hostile: 'hex', attempt: kept },
  plan_cache_mode: { hostile: 'force_generic_plan', attempt: kept },
  enable_indexscan: { hostile: 'off', attempt: kept },
  constraint_exclusion: { hostile: 'on', attempt: kept },
  cursor_tuple_fraction: { hostile: '1', attempt: kept },
  gin_fuzzy_search_limit: { hostile: '1', attempt: kept },
  default_toast_compression: { hostile: 'pglz', attempt: kept },
};
/** PgBouncer sets these on the server connection to the values that its client connected with. */
const CARRIED = ['client_encoding', 'standard_conforming_strings', 'DateStyle', 'TimeZone', 'IntervalStyle'];

type Source = 'url' | 'role' | 'database';
type Mode = PoolMode | 'direct';
const combinations: [Mode, Source][] = [
  ['direct', 'url'],
  ['direct', 'role'],
  ['direct', 'database'],
  ['session', 'role'],
  ['session', 'database'],
  ['transaction', 'role'],
  ['transaction', 'database'],
];

const TEXT = 'Zürich → 東京';

const define = (type: string, express: boolean) =>
  defineCommand({
    type,
    express,
    schema: z.any(),
    timeout: '9s',
    retry: { maximumAttempts: 1 },
    async handle({ tx, payload, receivedAt, messageId, emit }) {
      assert.ok(receivedAt instanceof Date && !Number.isNaN(receivedAt.getTime()));
      const { rows } = await tx.query<{ name: string; value: string }>(
        `select name, current_setting(name, true) as value from pg_catalog.unnest($1::text[]) as asked (name)`,
        [
          [
            ...Object.keys(SETTINGS),
            'transaction_isolation',
            'transaction_read_only',
            'transaction_deferrable',
          ],
        ],
      );
      await tx.query('insert into public.told (message_id, what) values ($1, $2)', [messageId, TEXT]);
      emit({ aggregateType: 'told', aggregateId: messageId, type: 'Told', payload: TEXT });
      await tx.query('select pg_catalog.pg_sleep($1)', [HANDLER_MS / 1_000]);
      await sleep(HANDLER_MS);
      return { payload, settings: Object.fromEntries(rows.map(({ name, value }) => [name, value])) };
    },
  });

interface Answer {
  payload: unknown;
  settings: Record<string, string>;
}

const results: string[] = [];

/** Run in parallel, because they mostly sleep. */
describe('hostile settings', { concurrency: combinations.length }, () => {
  for (const [mode, source] of combinations) {
    const skip = mode !== 'direct' && withoutPgBouncer;
    describe(`from the ${source}, ${mode}`, { skip, concurrency: 1 }, () => {
      let fixture: TestInbox;
      let login: TestLogin;
      let bouncer: PgBouncer | undefined;
      let pool: Pool;
      let inbox: Inbox;
      let url: string;

      before(async () => {
        fixture = await createTestInbox();
        await fixture.pool.query('create table public.told (message_id text, what text)');
        login = await createLogin(fixture.database, 'inbox_worker');
        await fixture.pool.query(`grant insert on public.told to inbox_worker`);
        url = login.url;
        if (source === 'url') url = withOptions(url);
        else await alter(source);
        if (mode !== 'direct') {
          const users = { [login.name]: decodeURIComponent(new URL(url).password) };
          bouncer = await startPgBouncer(fixture.database.url, {
            poolMode: mode,
            users,
            settings: { default_pool_size: 40 },
          });
          url = bouncer.through(url);
        }
        pool = new Pool({ connectionString: url, max: 4 });
        // idle_session_timeout closes idle connections of the pool.
        pool.on('error', () => {});
        pool.on('connect', (client) => client.on('error', () => {}));
        inbox = await createInbox({ pool });
        const few = { concurrency: 4, expressConcurrency: 4, retryConcurrency: 2 };
        await fixture.startWorker([define('Ordinary', false), define('Express', true)], few, url);
      });
      after(async () => {
        await inbox.close();
        await pool.end();
        await bouncer?.stop();
        await fixture.pool.query(`alter database ${databaseOf(fixture)} reset all`);
        await login.drop();
        await fixture.close();
      });

      async function alter(what: 'role' | 'database'): Promise<void> {
        const whose = what === 'role' ? `role ${login.name}` : `database ${databaseOf(fixture)}`;
        for (const [name, { hostile }] of Object.entries(SETTINGS)) {
          const { rowCount } = await fixture.pool.query('select from pg_settings where name = $1', [name]);
          if (rowCount === 1) await fixture.pool.query(`alter ${whose} set ${name} = '${hostile}'`);
        }
      }

      /** Checks the result, and the settings that the attempt had. */
      async function check(messageId: string, payload: unknown): Promise<void> {
        const entry = await fixture.reaches(messageId, 'Completed');
        const { payload: received, settings } = entry.result as unknown as Answer;
        assert.deepEqual(received, payload);
        assert.equal(settings['transaction_isolation'], 'read committed');
        assert.equal(settings['transaction_read_only'], 'off');
        assert.equal(settings['transaction_deferrable'], 'off');
        for (const [name, { hostile, attempt }] of Object.entries(SETTINGS)) {
          const value = settings[name];
          if (value === null || (attempt === kept && mode !== 'direct' && CARRIED.includes(name))) continue;
          assert.equal(value, attempt ?? hostile, name);
        }
        const { rows } = await fixture.pool.query('select what from public.told where message_id = $1', [
          messageId,
        ]);
        assert.deepEqual(rows, [{ what: TEXT }]);
      }

      for (const type of ['Ordinary', 'Express']) {
        const payload = { text: TEXT, amount: 1.5, quoted: 'a"\\b' };
        it(`change nothing for ${type} commands sent by Node`, async () => {
          const messageId = fixture.id(`vvv-${TEXT}-${type}`);
          const sent = await inbox.send({ messageId, type, payload });
          assert.equal(sent.answer, 'accepted');
          assert.ok(sent.entry.receivedAt instanceof Date && !Number.isNaN(sent.entry.receivedAt.getTime()));
          assert.equal((await inbox.send({ messageId, type, payload })).answer, 'duplicate');
          await assert.rejects(inbox.send({ messageId, type, payload: 'another' }), IdempotencyConflictError);
          await check(messageId, payload);
          const many = [{ messageId, type, payload }];
          assert.equal((await inbox.send(many))[0]!.answer, 'duplicate');
        });

        it(`change nothing for ${type} commands sent by SQL`, async () => {
          const messageId = fixture.id(`sql-${type}`);
          const client = await pool.connect();
          try {
            // The sender chooses the transaction mode. All statements are sent in one message, so the transaction never
            // pauses.
            const statements = [
              'begin isolation level read committed read write',
              `select inbox.send(${client.escapeLiteral(messageId)}, '${type}', '{"amount": 1.50, "text": "vvv"}')`,
              // If backslashes in the id check were read as escapes, this id would count as blank.
              ...(type === 'Express' ? [`select inbox.send('v', 'Unknown', '1')`] : []),
              'commit',
            ];
            await client.query(statements.join('; '));
          } finally {
            client.release();
          }
          const same = { messageId, type, payload: { amount: 1.5, text: 'vvv' } };
          assert.equal((await inbox.send(same)).answer, 'duplicate');
          await check(messageId, same.payload);
        });

        it(`change nothing for ${type} commands started by Temporal`, async () => {
          const messageId = fixture.id(`temporal-${TEXT}-${type}`);
          await fixture.start(messageId, { commandType: type, payload });
          await check(messageId, payload);
          assert.equal((await inbox.send({ messageId, type, payload })).answer, 'duplicate');
        });
      }

      it('change nothing for the outbox relay', async () => {
        const messageId = fixture.id('event');
        const { entry } = await inbox.send({ messageId, type: 'Express', payload: null });
        const { published, publish } = recorder();
        const relay = startRelay({ databaseUrl: url, publish });
        const find = () => published.find((event) => event.messageId === messageId);
        await eventually('the event is published', () => find() !== undefined);
        await relay.stop();
        const { payload, createdAt } = find()!;
        assert.equal(payload, TEXT);
        const late = createdAt.getTime() - entry.receivedAt.getTime();
        assert.ok(late >= 0 && late < 60_000, `${createdAt.toISOString()} is ${late} ms late`);
        const { rows } = await fixture.pool.query(
          `select published_at from inbox.outbox where message_id = $1`,
          [messageId],
        );
        assert.ok(rows[0].published_at instanceof Date);
      });

      it('change nothing for the CLI', async () => {
        const messageId = fixture.id('cli');
        const env = { DATABASE_URL: url };
        const sent = await runCli(['send', 'Express', '--id', messageId, '--payload', '1'], env);
        assert.equal(sent.code, 0, sent.stderr);
        const { receivedAt } = await fixture.reaches(messageId, 'Completed');
        const { stdout, stderr } = await runCli(['list', '--limit', '1', '--json'], env);
        const [listed] = JSON.parse(stdout || '[]') as { messageId: string; receivedAt: string }[];
        assert.deepEqual(
          [listed?.messageId, listed?.receivedAt],
          [messageId, receivedAt.toISOString()],
          stderr,
        );
      });

      it('are included in the matrix', () => void results.push(`${mode}/${source}`));
    });
  }
});

describe('the matrix', () => {
  it('is printed', (test) => {
    test.diagnostic(
      `tested with sends by Node, by SQL and by Temporal, ordinary and express: ${results.join(', ')}`,
    );
    for (const [name, { hostile, attempt }] of Object.entries(SETTINGS)) {
      test.diagnostic(
        `${name.padEnd(36)} ${hostile.padEnd(20)} in an attempt: ${attempt ?? "the handler's"}`,
      );
    }
  });
});

const databaseOf = (fixture: TestInbox) => new URL(fixture.database.url).pathname.slice(1);

function withOptions(url: string): string {
  const own = new URL(url);
  const options = Object.entries(SETTINGS)
    .filter(([name]) => name !== 'transaction_timeout')
    .map(([name, { hostile }]) => `-c ${name}=${hostile.replaceAll(' ', '\\ ')}`);
  own.searchParams.set('options', options.join(' '));
  return own.href;
}
