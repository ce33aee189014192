import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import { discard, list, replay, show, stats } from '../../../src/operations/index.ts';
import { prune } from '../../../src/retention/retention.ts';
import { listDeadLetters } from '../../../src/store/dead-letters.ts';
import { listFailures } from '../../../src/store/failures.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox, TestWorker } from '../../support/inbox.ts';
import { createLogin } from '../../support/login.ts';
import type { TestLogin } from '../../support/login.ts';
import { recorder, startRelay } from '../../support/outbox.ts';
import { eventually } from '../../support/wait.ts';

const payload = z.object({
  failures: z.int().default(0),
  dies: z.boolean().default(false),
  chain: z.boolean().default(false),
});

const pay = (type: string, express: boolean) =>
  defineCommand({
    type,
    express,
    schema: payload,
    retry: { initialInterval: '100ms' },
    async handle({ payload: { failures, dies, chain }, tx, emit, send, messageId, attempt, generation }) {
      await tx.query('insert into public.effects (message_id) values ($1)', [messageId]);
      emit({ aggregateType: 'payment', aggregateId: messageId, type: 'Paid', payload: { attempt } });
      if (chain) await send({ messageId: `${messageId}+`, type, payload: {} });
      if (dies && generation === 0) throw new UnrecoverableError('AccountClosed');
      if (attempt <= failures) throw new Error('not yet');
      return { attempt, generation };
    },
  });

/** Its first attempt runs a statement that ends only when its backend is terminated. */
const stuck = defineCommand({
  type: 'Stuck',
  schema: z.object({}),
  timeout: '1s',
  retry: { initialInterval: '100ms' },
  async handle({ tx, attempt }) {
    await tx.query('set local statement_timeout = 0');
    if (attempt === 1) await tx.query(`select pg_sleep(3600), 'stuck'`);
    return { attempt };
  },
});

describe('a worker whose login is only in inbox_worker', () => {
  let fixture: TestInbox;
  let running: TestWorker;
  let worker: TestLogin;
  let sender: TestLogin;
  let operator: TestLogin;

  before(async () => {
    fixture = await createTestInbox();
    worker = await createLogin(fixture.database, 'inbox_worker');
    sender = await createLogin(fixture.database, 'inbox_sender');
    operator = await createLogin(fixture.database, 'inbox_operator');
    // Names the schema public explicitly: the superuser of the tests is called inbox, so its tables would otherwise be
    // created in the schema inbox.
    await fixture.pool.query(
      `create table public.effects (message_id text); grant select, insert on public.effects to ${worker.name}`,
    );
    running = await fixture.startWorker([pay('Pay', false), pay('ExpressPay', true), stuck], {}, worker.url);
  });
  after(async () => {
    await running?.stop();
    for (const login of [worker, sender, operator]) await login?.drop();
    await fixture.close();
  });

  async function send(name: string, type: string, body: object = {}): Promise<string> {
    const messageId = fixture.id(`${type}-${name}`);
    await sender.pool.query('select inbox.send($1, $2, $3)', [messageId, type, JSON.stringify(body)]);
    return messageId;
  }
  const effects = async (messageId: string) =>
    (await rows(fixture.pool, 'select from public.effects where message_id = $1', [messageId])).length;

  for (const type of ['Pay', 'ExpressPay']) {
    describe(type, () => {
      it('completes and sends the next command', async () => {
        const messageId = await send('completes', type, { chain: true });
        assert.deepEqual((await fixture.reaches(messageId, 'Completed')).result, {
          attempt: 1,
          generation: 0,
        });
        await fixture.reaches(`${messageId}+`, 'Completed');
        assert.equal(await effects(messageId), 1);
      });

      it('is retried', async () => {
        const messageId = await send('retried', type, { failures: 2 });
        assert.deepEqual((await fixture.reaches(messageId, 'Completed')).result, {
          attempt: 3,
          generation: 0,
        });
        assert.equal((await listFailures(fixture.pool, messageId)).length, 2);
        assert.equal(await effects(messageId), 1);
      });

      it('can be replayed by an operator after it died', async () => {
        const messageId = await send('replayed', type, { dies: true });
        await fixture.reaches(messageId, 'DeadLetter');
        const operate = { pool: operator.pool, client: fixture.client, taskQueue: fixture.taskQueue };
        assert.equal(await replay(operate, messageId, { actor: 'ada', reason: 'fixed' }), 'done');
        assert.deepEqual((await fixture.reaches(messageId, 'Completed')).result, {
          attempt: 1,
          generation: 1,
        });
        const { audit } = await show(operator.pool, messageId);
        assert.deepEqual(
          audit.map(({ action, actor }) => [action, actor]),
          [['replay', 'ada']],
        );
      });

      it('can be discarded by an operator after it died', async () => {
        const messageId = await send('discarded', type, { dies: true });
        await fixture.reaches(messageId, 'DeadLetter');
        const operate = { pool: operator.pool, client: fixture.client, taskQueue: fixture.taskQueue };
        assert.equal(await discard(operate, messageId, { actor: 'ada' }), 'done');
        const [letter] = await listDeadLetters(operator.pool, messageId);
        assert.equal(letter!.resolution, 'discarded');
      });

      it('answers a process that waits for the result', async () => {
        const inbox = await createInbox({ pool: worker.pool });
        const message = { messageId: fixture.id(`${type}-executed`), type, payload: {} };
        assert.deepEqual(await inbox.execute(message), { attempt: 1, generation: 0 });
        await inbox.close();
      });
    });
  }

  it('handles a command started by a Temporal client', async () => {
    const handle = await fixture.start(fixture.id('started'), { commandType: 'Pay', payload: {} });
    assert.deepEqual(await handle.result(), { attempt: 1, generation: 0 });
  });

  it('terminates the backend of an attempt that timed out', async () => {
    const messageId = await send('ended', 'Stuck');
    assert.deepEqual((await fixture.reaches(messageId, 'Completed')).result, { attempt: 2 });
    await eventually('the backend is gone', async () => {
      const left = await rows(
        fixture.pool,
        `select from pg_stat_activity where usename = $1 and query like '%pg_sleep(3600)%'`,
        [worker.name],
      );
      return left.length === 0;
    });
  });

  it('publishes the outbox', async () => {
    const messageId = await send('published', 'Pay');
    await fixture.reaches(messageId, 'Completed');
    const { published, publish } = recorder();
    const relay = startRelay({ databaseUrl: worker.url, publish });
    await eventually('the event is published', async () => {
      const found = await rows(
        fixture.pool,
        'select from inbox.outbox where message_id = $1 and published_at is not null',
        [messageId],
      );
      return found.length === 1;
    });
    await relay.stop();
    assert.ok(published.some((event) => event.messageId === messageId));
  });

  it('lets operators list and prune what it has handled', async () => {
    const completed = await send('pruned', 'Pay');
    const discarded = await send('pruned-dead', 'Pay', { dies: true });
    await fixture.reaches(completed, 'Completed');
    await fixture.reaches(discarded, 'DeadLetter');
    const operate = { pool: operator.pool, client: fixture.client, taskQueue: fixture.taskQueue };
    assert.equal(await discard(operate, discarded, { actor: 'ada' }), 'done');
    await fixture.pool.query('update inbox.outbox set published_at = now() where message_id = $1', [
      completed,
    ]);
    const find = async (messageId: string) =>
      (await list(operator.pool, { limit: 1_000 })).find((entry) => entry.messageId === messageId)!;
    assert.deepEqual(
      [(await find(completed)).status, (await find(discarded)).status],
      ['Completed', 'DeadLetter'],
    );

    const ages = { completedOlderThanMs: 0, outboxOlderThanMs: 0, deadLettersOlderThanMs: 0 };
    // One run leaves out rows that another transaction has locked.
    await eventually('both are pruned', async () => {
      await prune(operator.pool, ages);
      return (await find(completed)).prunedAt !== null && (await find(discarded)).prunedAt !== null;
    });
    for (const messageId of [completed, discarded]) {
      const { payload: left, result } = (await fixture.entry(messageId))!;
      assert.deepEqual([left, result], [null, null]);
    }
    const [letter] = await listDeadLetters(operator.pool, discarded);
    assert.deepEqual([letter!.resolution, letter!.payload], ['discarded', null]);
    const events = 'select from inbox.outbox where message_id = $1';
    assert.deepEqual(await rows(fixture.pool, events, [completed]), []);
    assert.ok((await stats(operator.pool)).entries.length > 0);
  });
});
