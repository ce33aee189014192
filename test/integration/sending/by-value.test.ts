import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type } from 'arktype';
import * as v from 'valibot';
import { z } from 'zod';
import { z as z3 } from 'zod3';
import { defineContract } from '../../../src/commands/contract.ts';
import { defineCommand, implement } from '../../../src/commands/define-command.ts';
import { message } from '../../../src/commands/message.ts';
import {
  DeadLetterError,
  IdempotencyConflictError,
  InvalidMessageError,
  InvalidResultError,
} from '../../../src/core/errors.ts';
import { withTransaction } from '../../../src/platform/postgres.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { startCommand } from '../../../src/temporal/client-commands.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';

/** The same command with each schema library. The payload's count has a default and is doubled. */
const reserve = {
  zod: defineCommand({
    type: 'ReserveZod',
    schema: z.object({
      sku: z.string().min(1),
      count: z
        .int()
        .default(1)
        .transform((count) => count * 2),
    }),
    handle: ({ payload }) => ({ doubled: payload.count }),
  }),
  zod3: defineCommand({
    type: 'ReserveZod3',
    schema: z3.object({
      sku: z3.string().min(1),
      count: z3
        .number()
        .int()
        .default(1)
        .transform((count) => count * 2),
    }),
    handle: ({ payload }) => ({ doubled: payload.count }),
  }),
  valibot: defineCommand({
    type: 'ReserveValibot',
    schema: v.object({
      sku: v.pipe(v.string(), v.minLength(1)),
      count: v.optional(
        v.pipe(
          v.number(),
          v.integer(),
          v.transform((count) => count * 2),
        ),
        1,
      ),
    }),
    handle: ({ payload }) => ({ doubled: payload.count }),
  }),
  // ArkType's schemas are functions.
  arktype: defineCommand({
    type: 'ReserveArkType',
    schema: type({
      sku: 'string > 0',
      count: type('number.integer')
        .pipe((count) => count * 2)
        .default(1),
    }),
    handle: ({ payload }) => ({ doubled: payload.count }),
  }),
  // A schema that looks something up.
  async: defineCommand({
    type: 'ReserveAsync',
    schema: z.object({
      sku: z.string().refine(async (sku) => {
        await new Promise((resolve) => setImmediate(resolve));
        return sku !== '';
      }, 'is unknown'),
      count: z
        .int()
        .default(1)
        .transform(async (count) => count * 2),
    }),
    handle: ({ payload }) => ({ doubled: payload.count }),
  }),
};

const schema = z.object({ answer: z.enum(['good', 'late', 'wrong']) });
const contract = defineContract({
  type: 'Answer',
  schema,
  result: z.object({ at: z.iso.datetime().transform((text) => new Date(text)) }),
});
const answer = implement(contract, {
  express: true,
  handle: ({ payload }) =>
    payload.answer === 'wrong' ? { at: 'yesterday' } : { at: '2026-01-02T03:04:05Z' },
});
/** What a sender of the next release expects. */
const nextContract = defineContract({ type: 'Answer', schema, result: z.object({ place: z.string() }) });

describe('sending by value', () => {
  let fixture: TestInbox;
  let inbox: Inbox;

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool, commands: [...Object.values(reserve), contract] });
    await fixture.startWorker([...Object.values(reserve), answer]);
  });
  after(async () => {
    await inbox?.close();
    await fixture.close();
  });

  const isStored = async (messageId: string) => (await fixture.entry(messageId)) !== null;

  for (const [library, command] of Object.entries(reserve)) {
    it(`stores the input of the schema and gives the handler its output (${library})`, async () => {
      const messageId = fixture.id(`${library}-valid`);
      const result = await inbox.execute(command, { messageId, payload: { sku: 'tea' } });
      assert.deepEqual(result, { doubled: 2 });
      assert.deepEqual((await fixture.entry(messageId))!.payload, { sku: 'tea' });
      const again = await inbox.send(command, { messageId, payload: { sku: 'tea' } });
      assert.equal(again.answer, 'duplicate');
      await assert.rejects(
        inbox.send(command, { messageId, payload: { sku: 'tea', count: 1 } }),
        IdempotencyConflictError,
      );
    });

    for (const [way, send] of [
      ['send', (messageId: string, payload: object) => inbox.send(command, { messageId, payload } as never)],
      [
        'execute',
        (messageId: string, payload: object) => inbox.execute(command, { messageId, payload } as never),
      ],
      [
        'sendMany',
        (messageId: string, payload: object) =>
          inbox.sendMany([
            message(command, { messageId: `${messageId}-good`, payload: { sku: 'tea' } }),
            message(command, { messageId, payload } as never),
          ]),
      ],
      [
        'send with tx',
        (messageId: string, payload: object) =>
          withTransaction(fixture.pool, (tx) => inbox.send(command, { messageId, payload } as never, { tx })),
      ],
      [
        'startCommand',
        (messageId: string, payload: object) =>
          startCommand(fixture.client, command, { messageId, payload } as never, {
            taskQueue: fixture.taskQueue,
          }),
      ],
    ] as const) {
      it(`names the fields that the schema refuses, and stores nothing (${library}, ${way})`, async () => {
        const messageId = fixture.id(`${library}-${way}`);
        await assert.rejects(send(messageId, { sku: '', count: 1.5 }), (error) => {
          assert.ok(error instanceof InvalidMessageError);
          const fields = error.problems.map(({ field }) => field);
          assert.deepEqual(fields.toSorted(), ['payload.count', 'payload.sku']);
          assert.equal(error.field, fields[0]);
          for (const { field, problem } of error.problems)
            assert.ok(error.message.includes(`${field} ${problem}`));
          return true;
        });
        assert.equal(await isStored(messageId), false);
        assert.equal(await isStored(`${messageId}-good`), false);
      });
    }
  }

  it('checks the message before its payload', async () => {
    for (const [wrong, field] of [
      [{ messageId: '', payload: { sku: '' } }, 'messageId'],
      [{ messageId: 'm', payload: { sku: 1n } }, 'payload.sku'],
      [{ messageId: 'm', payload: { sku: 'a' }, metadata: [] }, 'metadata'],
      [undefined, 'the message'],
      [null, 'the message'],
      ['m', 'the message'],
    ] as const) {
      await assert.rejects(
        inbox.send(reserve.zod, wrong as never),
        (error) => error instanceof InvalidMessageError && error.field === field,
      );
    }
    await assert.rejects(inbox.sendMany('many' as never), InvalidMessageError);
    await assert.rejects((inbox.execute as CallableFunction)([]) as Promise<unknown>, InvalidMessageError);
  });

  it('stores the payload that was validated, even if the sender changes its object meanwhile', async () => {
    const messageId = fixture.id('changed');
    const payload = { sku: 'tea', count: 3 };
    const sending = inbox.send(reserve.async, { messageId, payload });
    payload.count = 0.5;
    await sending;
    const { result } = await fixture.reaches(messageId, 'Completed');
    assert.deepEqual(result, { doubled: 6 });
  });

  it('sends a list of several commands in the caller’s transaction, all or none', async () => {
    const id = (name: string) => fixture.id(`list-${name}`);
    const list = () => [
      message(reserve.zod, { messageId: id('a'), payload: { sku: 'a' }, correlationId: 'order-1' }),
      message(answer, { messageId: id('b'), payload: { answer: 'good' } }),
      { messageId: id('c'), type: 'ReserveValibot', payload: { sku: 'c' } },
    ];
    const rollBack = new Error('roll back');
    await withTransaction(fixture.pool, async (tx) => {
      await inbox.sendMany(list(), { tx });
      throw rollBack;
    }).catch((error: unknown) => assert.equal(error, rollBack));
    assert.equal(await isStored(id('a')), false);
    const sent = await withTransaction(fixture.pool, (tx) => inbox.sendMany(list(), { tx }));
    assert.deepEqual(
      sent.map(({ answer: got, entry }) => [got, entry.commandType, entry.correlationId]),
      [
        ['accepted', 'ReserveZod', 'order-1'],
        ['accepted', 'Answer', null],
        ['accepted', 'ReserveValibot', null],
      ],
    );
    for (const name of ['a', 'b', 'c']) await fixture.reaches(id(name), 'Completed');
    assert.deepEqual(await inbox.sendMany([]), []);
  });

  it('gives the caller the output of the contract’s result schema, and stores its input', async () => {
    const messageId = fixture.id('contract');
    const { at } = await inbox.execute(contract, { messageId, payload: { answer: 'good' } });
    assert.deepEqual(at, new Date('2026-01-02T03:04:05Z'));
    assert.deepEqual((await fixture.entry(messageId))!.result, { at: '2026-01-02T03:04:05Z' });
    // By name, the result is what is stored, unless the inbox knows the command.
    const named = { messageId, type: 'Answer', payload: { answer: 'good' } } as const;
    const general = await createInbox({ pool: fixture.pool });
    assert.deepEqual(await general.execute(named), { at: '2026-01-02T03:04:05Z' });
    await general.close();
    assert.deepEqual(await inbox.execute(named), { at });
  });

  it('makes a dead letter of a result that breaks the contract', async () => {
    const messageId = fixture.id('broken-contract');
    await assert.rejects(inbox.execute(contract, { messageId, payload: { answer: 'wrong' } }), (error) => {
      assert.ok(error instanceof DeadLetterError);
      assert.equal(error.errorType, 'InvalidResult');
      assert.match(error.error, /result\.at: .*; the handler must return what its contract declares/);
      return true;
    });
  });

  it('says which part of a result does not fit the caller’s contract', async () => {
    const messageId = fixture.id('next-contract');
    await assert.rejects(inbox.execute(nextContract, { messageId, payload: { answer: 'late' } }), (error) => {
      assert.ok(error instanceof InvalidResultError);
      assert.equal(error.messageId, messageId);
      assert.deepEqual(
        error.problems.map(({ field }) => field),
        ['result.place'],
      );
      return true;
    });
    assert.equal((await fixture.entry(messageId))!.status, 'Completed');
  });

  it('starts a command with a Temporal client and returns its result', async () => {
    const messageId = fixture.id('started');
    const options = { taskQueue: fixture.taskQueue };
    const handle = await startCommand(
      fixture.client,
      reserve.zod,
      { messageId, payload: { sku: 'a', count: 4 } },
      options,
    );
    assert.equal(handle.started, true);
    assert.deepEqual(await handle.result(), { doubled: 8 });
    const again = await startCommand(
      fixture.client,
      reserve.zod,
      { messageId, payload: { sku: 'a', count: 4 } },
      options,
    );
    assert.deepEqual(await again.result(), { doubled: 8 });
    // While it runs: another payload is refused, the same one is not.
    const blocked = fixture.id('blocked');
    const blocker = await fixture.pool.connect();
    try {
      await blocker.query('begin');
      await blocker.query(`select inbox.send($1, 'Other', '{}')`, [blocked]);
      const payload = { sku: 'a', count: 4 };
      const first = await startCommand(fixture.client, reserve.zod, { messageId: blocked, payload }, options);
      assert.equal(first.started, true);
      const same = { messageId: blocked, payload: { count: 4, sku: 'a' } };
      assert.equal((await startCommand(fixture.client, reserve.zod, same, options)).started, false);
      await assert.rejects(
        startCommand(fixture.client, reserve.zod, { messageId: blocked, payload: { sku: 'b' } }, options),
        IdempotencyConflictError,
      );
      await assert.rejects(
        startCommand(fixture.client, reserve.zod3, { messageId: blocked, payload }, options),
        IdempotencyConflictError,
      );
      await blocker.query('rollback');
      assert.deepEqual(await first.result(), { doubled: 8 });
    } finally {
      await blocker.query('rollback');
      blocker.release();
    }
    const other = await startCommand(
      fixture.client,
      reserve.zod,
      { messageId, payload: { sku: 'b' } },
      options,
    );
    await assert.rejects(other.result(), (error: Error) => {
      assert.equal((error.cause as { type?: string }).type, 'IdempotencyConflict');
      return true;
    });
  });
});
