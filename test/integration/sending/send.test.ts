import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client, DatabaseError } from 'pg';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { withTransaction } from '../../../src/platform/postgres.ts';
import {
  DeadLetterError,
  IdempotencyConflictError,
  InboxClosedError,
  InvalidMessageError,
  ResultTimeoutError,
  UnrecoverableError,
} from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Message } from '../../../src/commands/message.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import type { Json } from '../../../src/core/json.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';

const book = defineCommand({
  type: 'Book',
  schema: z.object({ seat: z.string() }),
  async handle({ payload, tx, messageId }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    return { seat: payload.seat };
  },
});

const refuse = defineCommand({
  type: 'Refuse',
  schema: z.object({}),
  handle() {
    throw new UnrecoverableError('Refused');
  },
});

/** Sends the next command in its own transaction, and then fails if the payload says so. */
const chain = defineCommand({
  type: 'Chain',
  schema: z.object({ length: z.int(), fail: z.boolean().optional() }),
  async handle({ payload, send, messageId, tx }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    if (payload.length > 1) {
      await send({ messageId: `${messageId}+`, type: 'Chain', payload: { length: payload.length - 1 } });
    }
    if (payload.fail) throw new UnrecoverableError('AfterSending');
  },
});

const hasState = (code: string) => (error: unknown) => error instanceof DatabaseError && error.code === code;

describe('sending in a Postgres transaction', () => {
  let fixture: TestInbox;
  let inbox: Inbox;

  before(async () => {
    fixture = await createTestInbox();
    await fixture.pool.query('create table effects (message_id text)');
    await fixture.pool.query('create table orders (id text primary key)');
    inbox = await createInbox({ pool: fixture.pool, commands: [book] });
    await fixture.startWorker([book, refuse, chain]);
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
  });

  const effectsOf = (messageId: string) =>
    rows(fixture.pool, 'select from effects where message_id = $1', [messageId]);
  const message = (name: string, seat = '1A') => ({
    messageId: fixture.id(name),
    type: 'Book',
    payload: { seat },
  });

  it('accepts a message once, handles it once, and answers a repeat with the first entry', async () => {
    const sent = await inbox.send(message('once'));
    assert.equal(sent.answer, 'accepted');
    assert.equal(sent.entry.status, 'Pending');
    await fixture.reaches(sent.entry.messageId, 'Completed');

    const again = await inbox.send(message('once'));
    assert.equal(again.answer, 'duplicate');
    assert.deepEqual(again.entry.result, { seat: '1A' });
    assert.equal((await effectsOf(sent.entry.messageId)).length, 1);
  });

  it('refuses a known id with another payload, and does not change the first entry', async () => {
    const first = message('conflict');
    await inbox.send(first);
    await assert.rejects(inbox.send({ ...first, payload: { seat: '2B' } }), IdempotencyConflictError);
    assert.deepEqual((await inbox.status(first.messageId))?.payload, { seat: '1A' });
  });

  it("commits and rolls back with the caller's transaction", async () => {
    const kept = message('kept');
    const dropped = message('dropped');
    await withTransaction(fixture.pool, async (tx) => {
      await tx.query('insert into orders values ($1)', [kept.messageId]);
      await inbox.send(kept, { tx });
    });
    await assert.rejects(
      withTransaction(fixture.pool, async (tx) => {
        await inbox.send(dropped, { tx });
        throw new Error('the caller changes its mind');
      }),
      /changes its mind/,
    );
    await fixture.reaches(kept.messageId, 'Completed');
    assert.equal(await inbox.status(dropped.messageId), null);
    assert.equal((await inbox.send(dropped)).answer, 'accepted');
  });

  it('sends several messages at once, all or none, with an answer for each', async () => {
    const [a, b] = [message('many-a'), message('many-b')];
    const answers = await inbox.send([a, b, a]);
    assert.deepEqual(
      answers.map(({ answer, entry }) => [answer, entry.messageId]),
      [
        ['accepted', a.messageId],
        ['accepted', b.messageId],
        ['duplicate', a.messageId],
      ],
    );
    const c = message('many-c');
    await assert.rejects(inbox.send([c, { ...a, payload: { seat: 'other' } }]), IdempotencyConflictError);
    await assert.rejects(inbox.send([c, { ...c, payload: { seat: 'other' } }]), IdempotencyConflictError);
    assert.equal(await inbox.status(c.messageId), null);
    assert.deepEqual(await inbox.send([]), []);
  });

  for (const [field, bad] of [
    ['messageId', { messageId: ' ' }],
    ['type', { type: '' }],
    ['payload', { payload: undefined }],
    ['payload.at', { payload: { at: new Date() } }],
    ['payload', { payload: 'x'.repeat(1_100_000) }],
    ['correlationId', { correlationId: 'a\nb' }],
    ['metadata', { metadata: [] }],
  ] as const) {
    it(`refuses an invalid ${field}, names the field, and stores nothing`, async () => {
      const good = message(`bad ${field}`);
      await assert.rejects(inbox.send({ ...good, ...bad } as Message), (error) => {
        assert.ok(error instanceof InvalidMessageError);
        assert.equal(error.field, field);
        return true;
      });
      assert.equal(await inbox.status(good.messageId), null);
    });
  }

  it('executes a command and returns its result, also for a duplicate', async () => {
    assert.deepEqual(await inbox.execute(message('executed'), { timeoutMs: 90_000 }), { seat: '1A' });
    assert.deepEqual(await inbox.execute(message('executed'), { timeoutMs: 90_000 }), { seat: '1A' });
    assert.equal((await effectsOf(fixture.id('executed'))).length, 1);
  });

  it('has one effect if the same command is executed a hundred times at once', async () => {
    const results = await Promise.all(
      Array.from({ length: 100 }, () => inbox.execute(message('crowd'), { timeoutMs: 90_000 })),
    );
    assert.equal(results.length, 100);
    for (const result of results) assert.deepEqual(result, { seat: '1A' });
    assert.equal((await effectsOf(fixture.id('crowd'))).length, 1);
  });

  it('rejects execute if the command is a dead letter', async () => {
    const dead = { messageId: fixture.id('refused'), type: 'Refuse', payload: {} };
    await assert.rejects(inbox.execute(dead), DeadLetterError);
    await assert.rejects(inbox.execute(dead), DeadLetterError);
  });

  it('ends a wait at its timeout or signal, while the command stays accepted', async () => {
    const elsewhere = await createTestInbox();
    try {
      const waiting = await createInbox({ pool: elsewhere.pool });
      await assert.rejects(waiting.execute(message('slow'), { timeoutMs: 50 }), ResultTimeoutError);
      const reason = new Error('the caller has gone');
      const gone = AbortSignal.abort(reason);
      await assert.rejects(waiting.execute(message('gone'), { signal: gone }), reason);
      assert.equal((await waiting.status(message('slow').messageId))?.status, 'Pending');
      await waiting.close();
    } finally {
      await elsewhere.close();
    }
  });

  it('ends its waits when it is closed, and sends nothing afterwards', async () => {
    const elsewhere = await createTestInbox();
    try {
      const closing = await createInbox({ pool: elsewhere.pool });
      const waits = closing.execute(message('closing'));
      waits.catch(() => {});
      await elsewhere.reaches(message('closing').messageId, 'Pending');
      await closing.close();
      await assert.rejects(waits, InboxClosedError);
      await assert.rejects(closing.send(message('later')), InboxClosedError);
      await assert.rejects(closing.execute(message('later')), InboxClosedError);
      await closing.close();
      assert.equal(await elsewhere.entry(message('later').messageId), null);
    } finally {
      await elsewhere.close();
    }
  });

  it('ends a wait even while the send itself waits for another transaction with the same id', async () => {
    const sent = message('held');
    const otherTransaction = await fixture.pool.connect();
    await otherTransaction.query('begin');
    await otherTransaction.query('select inbox.send($1, $2, $3)', [sent.messageId, sent.type, sent.payload]);
    await assert.rejects(inbox.execute(sent, { timeoutMs: 100 }), ResultTimeoutError);
    await otherTransaction.query('rollback');
    otherTransaction.release();
  });

  it("chains commands: each is sent in its parent's transaction and belongs to the same flow", async () => {
    const messageId = fixture.id('chain');
    await inbox.send({ messageId, type: 'Chain', payload: { length: 3 } });
    const last = await fixture.reaches(`${messageId}++`, 'Completed');
    assert.equal(last.correlationId, messageId);
    assert.equal(last.causationId, `${messageId}+`);
  });

  it('sends nothing from a handler that fails after sending', async () => {
    const messageId = fixture.id('broken-chain');
    await inbox.send({ messageId, type: 'Chain', payload: { length: 2, fail: true } });
    await fixture.reaches(messageId, 'DeadLetter');
    assert.equal(await inbox.status(`${messageId}+`), null);
  });

  it('has one effect for a hundred sends and a hundred starts of one message at once', async () => {
    const both = message('both');
    const envelope = { commandType: both.type, payload: both.payload };
    const starts = Array.from({ length: 100 }, () =>
      fixture.start(both.messageId, envelope).catch(() => null),
    );
    const sends = Array.from({ length: 100 }, () => inbox.send(both));
    await Promise.all([...starts, ...sends]);
    await fixture.reaches(both.messageId, 'Completed');
    assert.equal((await effectsOf(both.messageId)).length, 1);
  });

  describe('by a role that may only send', () => {
    let sender: Client;
    const send = (...values: unknown[]) =>
      sender
        .query<{ send: string }>('select inbox.send($1, $2, $3)', values)
        .then(({ rows: [row] }) => row!.send);

    before(async () => {
      const role = fixture.taskQueue.replace('-', '_');
      await fixture.pool.query(`create role ${role} login password 'sender'`);
      await fixture.pool.query(`grant usage on schema inbox to ${role}`);
      await fixture.pool.query(`grant execute on function inbox.send to ${role}`);
      const url = new URL(fixture.database.url);
      url.username = role;
      url.password = 'sender';
      sender = new Client(url.href);
      await sender.connect();
    });
    after(async () => {
      const role = sender.user!;
      await sender.end();
      await fixture.pool.query(`drop owned by ${role}; drop role ${role}`);
    });

    it('is handled like any other way in, with the same duplicates and conflicts', async () => {
      const { messageId } = message('sql');
      assert.equal(await send(messageId, 'Book', '{"seat": "1A"}'), 'accepted');
      assert.equal(await send(messageId, 'Book', '{"seat": "1A"}'), 'duplicate');
      assert.equal((await inbox.send(message('sql'))).answer, 'duplicate');
      await fixture.reaches(messageId, 'Completed');
      await assert.rejects(send(messageId, 'Book', '{"seat": "2B"}'), hasState('IB001'));
      await assert.rejects(inbox.send(message('sql', '2B')), IdempotencyConflictError);
    });

    for (const [name, values] of [
      ['a blank id', [' ', 'Book', '1']],
      ['a control character', ['a\u0001b', 'Book', '1']],
      ['an id over 200 bytes', ['é'.repeat(101), 'Book', '1']],
      ['no type', ['x', null, '1']],
      ['no payload', ['x', 'Book', null]],
      ['an integer beyond 2^53', ['x', 'Book', '[9007199254740993]']],
      ['201 levels', ['x', 'Book', '['.repeat(201) + ']'.repeat(201)]],
    ] as const) {
      it(`is refused with ${name}`, async () => {
        await assert.rejects(send(...values), hasState('IB002'));
      });
    }

    it('accepts 200 levels of nesting, with a value in the innermost', async () => {
      const messageId = fixture.id('deep');
      assert.equal(await send(messageId, 'Book', `${'['.repeat(200)}1${']'.repeat(200)}`), 'accepted');
      let payload: Json = 1;
      for (let level = 0; level < 200; level += 1) payload = [payload];
      assert.equal((await inbox.send({ messageId, type: 'Book', payload })).answer, 'duplicate');
    });

    it('allows nothing else', async () => {
      for (const statement of [
        'select * from inbox.entries',
        'update inbox.entries set status = status',
        'delete from inbox.entries',
        `insert into inbox.outbox (aggregatetype, aggregateid, type, payload, message_id) values ('', '', '', '1', '')`,
        'select * from inbox.migrations',
      ]) {
        await assert.rejects(sender.query(statement), hasState('42501'), statement);
      }
    });
  });
});
