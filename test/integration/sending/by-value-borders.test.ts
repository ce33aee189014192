import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type } from 'arktype';
import * as v from 'valibot';
import { z } from 'zod';
import { defineContract } from '../../../src/commands/contract.ts';
import { defineCommand, implement } from '../../../src/commands/define-command.ts';
import { message, MESSAGE_COMMAND } from '../../../src/commands/message.ts';
import { reportFailure } from '../../../src/attempts/failure-report.ts';
import {
  DeadLetterError,
  InvalidCommandError,
  InvalidMessageError,
  ResultPrunedError,
  UnrecoverableError,
} from '../../../src/core/errors.ts';
import { createPool } from '../../../src/platform/postgres.ts';
import { prune } from '../../../src/retention/retention.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';

const reserve = defineCommand({
  type: 'Reserve',
  schema: z.object({ sku: z.string().min(1) }),
  handle: () => null,
});

describe('sending by value', () => {
  let fixture: TestInbox;
  let inbox: Inbox;

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
  });
  after(async () => {
    await inbox?.close();
    await fixture.close();
  });

  const isStored = async (messageId: string) => (await fixture.entry(messageId)) !== null;

  for (const [library, secret] of Object.entries({
    zod: z.object({ card: z.string().regex(/^9+$/) }),
    valibot: v.object({ card: v.pipe(v.string(), v.creditCard()) }),
    arktype: type({ card: 'string.email' }),
  })) {
    it(`never repeats a value in an error, although the library does (${library})`, async () => {
      const command = defineCommand({ type: `Secret${library}`, schema: secret, handle: () => null });
      const payload = { card: '4111 1111 1111 1112' };
      const worker = await fixture.startWorker([command]);
      await assert.rejects(inbox.send(command, { messageId: 'unsent', payload }), (error: Error) => {
        assert.match(error.message, /^payload\.card ./);
        assert.ok(!error.message.includes('4111'), error.message);
        return true;
      });
      const messageId = fixture.id(`secret-${library}`);
      await inbox.send({ messageId, type: command.type, payload });
      const { error } = await fixture.reaches(messageId, 'DeadLetter');
      assert.match(error!, /^InvalidPayload: payload\.card: ./);
      assert.ok(!error!.includes('4111'), error!);
      await worker.stop();
    });
  }

  it('stores what the sender passed, even if the schema changes what it validates', async () => {
    const mutating = defineCommand({
      type: 'Mutating',
      schema: z.preprocess(
        (value) => Object.assign(value as object, { added: Number.NaN }),
        z.looseObject({ keep: z.int() }),
      ),
      handle: () => null,
    });
    const { entry } = await inbox.send(mutating, { messageId: fixture.id('mutating'), payload: { keep: 1 } });
    assert.deepEqual(entry.payload, { keep: 1 });
  });

  it('refuses instances of classes, whose data a copy would lose', async () => {
    class Money {
      readonly #cents = 5;
      toString() {
        return String(this.#cents);
      }
    }
    const command = defineCommand({ type: 'Any', schema: z.any(), handle: () => null });
    await assert.rejects(
      inbox.send(command, { messageId: 'm', payload: { price: new Money() } }),
      (error) => error instanceof InvalidMessageError && error.field === 'payload.price',
    );
  });

  it('refuses options that it would ignore, such as a transaction under another name', async () => {
    const fields = { messageId: fixture.id('options'), payload: { sku: 'a' } };
    const client = await fixture.pool.connect();
    try {
      const call = inbox.send as (...args: unknown[]) => Promise<unknown>;
      const run = inbox.execute as (...args: unknown[]) => Promise<unknown>;
      for (const [options, problem] of [
        [client, /is not an option of this call; the options are tx/],
        [{ trx: client }, /trx is not an option/],
        [null, /the options must be an object/],
        [{ tx: null }, /tx is null/],
      ] as const) {
        await assert.rejects(call(reserve, fields, options), problem);
        await assert.rejects(inbox.sendMany([message(reserve, fields)], options as never), problem);
      }
      await assert.rejects(run(reserve, fields, { tx: client }), /tx is not an option of this call/);
      assert.equal(await isStored(fields.messageId), false);
    } finally {
      client.release();
    }
  });

  it('refuses a message whose type is not that of its command', async () => {
    const bound = { ...message(reserve, { messageId: 'm', payload: { sku: 'a' } }), type: 'Other' };
    await assert.rejects(
      inbox.sendMany([bound]),
      (error) => error instanceof InvalidMessageError && error.field === 'type',
    );
  });

  it('does not invent a result that was pruned', async () => {
    const messageId = fixture.id('pruned');
    await inbox.send(reserve, { messageId, payload: { sku: 'a' } });
    await fixture.pool.query(
      `update inbox.entries set status = 'Processing', attempt = 1, claimed_at = now() where message_id = $1`,
      [messageId],
    );
    await fixture.pool.query(
      `update inbox.entries set status = 'Completed', processed_at = now(), result = '1' where message_id = $1`,
      [messageId],
    );
    await prune(fixture.pool, { completedOlderThanMs: 0 });
    await assert.rejects(inbox.execute(reserve, { messageId, payload: { sku: 'a' } }), ResultPrunedError);
    assert.equal(await inbox.execute({ messageId, type: 'Reserve', payload: { sku: 'a' } }), null);
  });

  it('validates a list before it takes a connection', async () => {
    const pool = createPool({
      connectionString: fixture.database.url,
      max: 1,
      applicationName: 'one connection',
    });
    const one = await createInbox({ pool });
    const held = await pool.connect();
    try {
      const invalid = message(reserve, { messageId: 'm', payload: { sku: '' } });
      await assert.rejects(one.sendMany([invalid]), InvalidMessageError);
      assert.deepEqual(await one.sendMany([]), []);
    } finally {
      held.release();
      await one.close();
      await pool.end();
    }
  });
});

describe('a contract whose result is nothing', () => {
  it('is fulfilled by a handler that returns nothing', async () => {
    const fixture = await createTestInbox();
    const inbox = await createInbox({ pool: fixture.pool });
    try {
      const contractOfNothing = defineContract({ type: 'Nothing', schema: z.object({}), result: z.void() });
      const nothing = implement(contractOfNothing, { async handle() {} });
      await fixture.startWorker([nothing]);
      const sent = { messageId: fixture.id('nothing'), payload: {} };
      assert.equal(await inbox.execute(nothing, sent), undefined);
    } finally {
      await inbox.close();
      await fixture.close();
    }
  });
});

/** Loads a file of the package a second time. */
const copy = (path: string) =>
  import(new URL(`../../../src/${path}?copy=1`, import.meta.url).href) as Promise<Record<string, unknown>>;

describe('what another copy of the package has created', () => {
  it('keeps its meaning', async () => {
    const errors = (await copy('core/errors.js')) as Record<string, new (...args: unknown[]) => Error>;
    const error = new errors['UnrecoverableError']!('Closed', { account: 'a' });
    assert.ok(error instanceof UnrecoverableError);
    assert.equal(error instanceof DeadLetterError, false);
    assert.equal(new Error('x') instanceof UnrecoverableError, false);
    class Own extends UnrecoverableError {}
    assert.equal(error instanceof Own, false);
    assert.ok(new Own('Own') instanceof Own);
    assert.ok(new Own('Own') instanceof UnrecoverableError);
    assert.equal(reportFailure(error).retryable, false);
    assert.equal(reportFailure(error).type, 'Closed');
    assert.equal(reportFailure(new errors['RetryAfterError']!('1 hour')).delayMs, 3_600_000);
    assert.equal((await copy('commands/message.js'))['MESSAGE_COMMAND'], MESSAGE_COMMAND);
  });
});

describe('a schema', () => {
  for (const [what, wrong] of [
    ['of zod before 3.24', { safeParse: () => ({ success: true }), parse: () => 1, _def: {} }],
    ['that is missing', undefined],
    ['that is null', null],
    ['of another version', { '~standard': { version: 2, vendor: 'x', validate: () => ({ value: 1 }) } }],
    ['without validate', { '~standard': { version: 1, vendor: 'x' } }],
  ] as const) {
    it(`${what} is refused with the libraries that work`, () => {
      for (const call of [
        () => defineCommand({ type: 'Wrong', schema: wrong as never, handle() {} }),
        () => defineContract({ type: 'Wrong', schema: wrong as never }),
      ]) {
        assert.throws(call, (error) => {
          assert.ok(error instanceof InvalidCommandError);
          assert.match(
            error.message,
            /command "Wrong": schema: .*Zod \(3\.24 or newer\), Valibot or ArkType/,
          );
          return true;
        });
      }
    });
  }

  it('of a result is checked as well', () => {
    assert.throws(
      () => defineContract({ type: 'Wrong', schema: z.object({}), result: {} as never }),
      /command "Wrong": result: is not a schema/,
    );
    assert.throws(
      () => implement({ type: 'Wrong' } as never, { handle: () => 1 } as never),
      InvalidCommandError,
    );
  });
});
