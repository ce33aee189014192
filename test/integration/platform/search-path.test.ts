/**
 * An attacker who may create objects in a schema on the search_path can add an operator or a function that matches a
 * statement of the inbox better than Postgres's own. It would run with the privileges of the login that sends the statement.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { OPERATOR_SETTINGS } from '../../../src/platform/connection-settings.ts';
import { createPool, isPermissionDenied } from '../../../src/platform/postgres.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { checkHealth } from '../../../src/health/check-health.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import {
  deadLetters,
  discard,
  failureGroups,
  list,
  replay,
  show,
  stats,
} from '../../../src/operations/index.ts';
import { prune } from '../../../src/retention/retention.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { createLogin } from '../../support/login.ts';
import type { TestLogin } from '../../support/login.ts';
import { recorder, startRelay } from '../../support/outbox.ts';
import { eventually } from '../../support/wait.ts';

/** The types that the inbox's statements use in expressions. */
const TYPES = [
  'text',
  'name',
  'varchar',
  'integer',
  'bigint',
  'numeric',
  'float8',
  'boolean',
  'interval',
  'timestamptz',
  'jsonb',
  'uuid',
  'bytea',
  'text[]',
  'uuid[]',
];
const OPERATORS = ['=', '<>', '<', '>', '<=', '>=', '||', '->', '->>', '*', '+', '-', '~', '!~'];

/** Creates every operator for two of these types that Postgres itself lacks. Calling one raises an error that names it. */
const HOSTILE_OPERATORS = `
  do $$
  declare
    one text; other text; operator text;
  begin
    foreach one in array array[${TYPES.map((type) => `'${type}'`).join(', ')}] loop
      foreach other in array array[${TYPES.map((type) => `'${type}'`).join(', ')}] loop
        execute format('create function public.hijack(a %s, b %s) returns text language plpgsql as
          $f$ begin raise exception ''hijacked as %%: %% and %%'', current_user, pg_typeof(a), pg_typeof(b); end $f$', one, other);
        foreach operator in array array[${OPERATORS.map((name) => `'${name}'`).join(', ')}] loop
          if to_regoperator(format('pg_catalog.%s(%s,%s)', operator, one, other)) is null then
            execute format('create operator public.%s (leftarg = %s, rightarg = %s, function = public.hijack)', operator, one, other);
          end if;
        end loop;
      end loop;
    end loop;
  end $$`;

/** For functions that accept many types: variants that match a statement's argument types exactly. */
const HOSTILE_FUNCTIONS = [
  'set_config',
  'current_setting',
  'pg_notify',
  'concat',
  'coalesce_',
  'jsonb_build_object',
  'json_build_object',
  'row_to_json',
  'date_part',
  'count',
]
  .flatMap((name) =>
    ['text', 'text, text', 'text, text, boolean', 'text, boolean', 'text, timestamptz', 'text, integer'].map(
      (parameters) => [name, parameters] as const,
    ),
  )
  .map(
    ([name, parameters]) => `
      do $$ begin
        if to_regprocedure('pg_catalog.${name}(${parameters})') is null then
          create function public.${name}(${parameters}) returns text language plpgsql as
            $f$ begin raise exception 'hijacked as %', current_user; end $f$;
        end if;
      end $$`,
  )
  .join(';');

const command = (type: string, express: boolean) =>
  defineCommand({
    type,
    express,
    schema: z.any(),
    retry: { maximumAttempts: 2, initialInterval: '100ms' },
    handle({ emit, send, payload, messageId, attempt, generation }) {
      emit({ aggregateType: 'a', aggregateId: messageId, type: 'Handled', payload: {} });
      const mode = (payload as { mode?: string }).mode;
      if (mode === 'dies' && generation === 0) throw new UnrecoverableError('Broken');
      if (mode === 'retried' && attempt === 1) throw new Error('again');
      if (mode === 'sends') return send({ messageId: `${messageId}+`, type, payload: {} }).then(() => 'sent');
      return 'done';
    },
  });

describe('with hostile operators and functions on the search_path', () => {
  let fixture: TestInbox;
  let worker: TestLogin;
  let sender: TestLogin;
  let operator: TestLogin;

  before(async () => {
    fixture = await createTestInbox();
    await fixture.pool.query(HOSTILE_OPERATORS);
    await fixture.pool.query(HOSTILE_FUNCTIONS);
    await fixture.pool.query('grant create, usage on schema public to public');
    worker = await createLogin(fixture.database, 'inbox_worker');
    sender = await createLogin(fixture.database, 'inbox_sender');
    operator = await createLogin(fixture.database, 'inbox_operator');
    await fixture.startWorker([command('Ordinary', false), command('Express', true)], {}, worker.url);
  });
  after(async () => {
    for (const login of [worker, sender, operator]) await login?.drop();
    await fixture.close();
  });

  it('an unqualified statement uses them, so the setup works', async () => {
    await assert.rejects(
      sender.pool.query(`select $1 * interval '1 second'`, ['1']),
      /hijacked as inbox_sender/,
    );
    // An operator for the status type would be preferred to the one for all enums, but nobody may use the type.
    for (const { pool } of [sender, operator, worker]) {
      await assert.rejects(
        pool.query(
          'create function public.same(inbox.entry_status) returns boolean language sql as $$ select true $$',
        ),
        isPermissionDenied,
      );
    }
  });

  for (const type of ['Ordinary', 'Express']) {
    it(`sends, attempts, retries, replays and results of ${type} commands use Postgres's own`, async () => {
      const inbox = await createInbox({ pool: sender.pool });
      const send = (mode: string) => ({ messageId: fixture.id(`${type}-${mode}`), type, payload: { mode } });
      assert.equal(await inbox.execute(send('plain'), { timeoutMs: 90_000 }), 'done');
      assert.equal(await inbox.execute(send('retried'), { timeoutMs: 90_000 }), 'done');
      assert.equal(await inbox.execute(send('sends'), { timeoutMs: 90_000 }), 'sent');
      assert.equal((await inbox.send([send('plain'), send('more')]))[1]!.answer, 'accepted');
      assert.equal((await inbox.status(send('plain').messageId))!.status, 'Completed');
      const client = await sender.pool.connect();
      await client.query('begin');
      await inbox.send(send('in-transaction'), { tx: client });
      assert.equal((await inbox.send(send('plain'), { tx: client })).answer, 'duplicate');
      await client.query('commit');
      client.release();
      for (const mode of ['in-transaction', 'more']) await fixture.reaches(send(mode).messageId, 'Completed');
      await assert.rejects(inbox.execute(send('dies')), /Broken/);
      const dead = send('dies').messageId;
      const operate = { pool: operator.pool, client: fixture.client, taskQueue: fixture.taskQueue };
      assert.equal(await replay(operate, dead, { actor: 'ada' }), 'done');
      await fixture.reaches(dead, 'Completed');
      const discarded = { ...send('dies'), messageId: fixture.id(`${type}-discarded`) };
      await assert.rejects(inbox.execute(discarded), /Broken/);
      assert.equal(await discard(operate, discarded.messageId, { actor: 'ada' }), 'done');
      await inbox.close();
    });
  }

  it("commands started by Temporal use Postgres's own", async () => {
    const handle = await fixture.start(fixture.id('started'), { commandType: 'Ordinary', payload: {} });
    assert.equal(await handle.result(), 'done');
  });

  it("the operator's queries and retention use Postgres's own on a CLI connection", async () => {
    const name = { applicationName: 'inbox tests' };
    const pool = createPool({ connectionString: operator.url, max: 2, ...name, settings: OPERATOR_SETTINGS });
    const id = fixture.id('Ordinary-dies');
    for (const look of [
      stats(pool),
      list(pool, { limit: 5 }),
      show(pool, id),
      deadLetters(pool),
      failureGroups(pool),
    ])
      await look;
    await prune(pool, { completedOlderThanMs: 1, outboxOlderThanMs: 1, deadLettersOlderThanMs: 1 });
    await pool.end();
  });

  it("the outbox relay uses Postgres's own", async () => {
    const { published, publish } = recorder();
    const relay = startRelay({ databaseUrl: worker.url, publish });
    await fixture.pool.query(
      `insert into inbox.outbox (aggregatetype, aggregateid, type, payload, message_id) values ('a', '1', 'T', '{}', 'm')`,
    );
    await eventually('the event is published', async () => {
      const left = await rows(fixture.pool, 'select from inbox.outbox where published_at is null');
      return left.length === 0 && published.length > 0;
    });
    await relay.stop();
  });

  it('the doctor warns about the schema', async () => {
    const findings = await checkHealth({ env: { ...process.env, DATABASE_URL: operator.url } });
    const settings = findings.find(({ name }) => name === 'database settings')!;
    assert.equal(settings.ok, false);
    assert.match(settings.finding, /every login may create objects in schema public/);
    assert.match(settings.remedy ?? '', /revoke create on schema public from public/);
  });
});
