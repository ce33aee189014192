/** The commands that a handler sends during `runCommand`, with and without the inbox's schema in the database. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Pool } from 'pg';
import { z } from 'zod';
import { defineContract } from '../../../src/commands/contract.ts';
import { IdempotencyConflictError, InvalidMessageError } from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import { runCommand } from '../../../src/testing/index.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { rows } from '../../support/rows.ts';
import { behaving, shipOrder } from '../../support/test-commands.ts';
import type { Behavior } from '../../support/test-commands.ts';

const order = (orderId: string) => ({ messageId: `ship-${orderId}`, payload: { orderId } });

const sendsBothWays: Behavior = async ({ send }) => {
  const payload = { orderId: '1', parcels: 2 };
  const first = await send(shipOrder, { messageId: 'a', payload, metadata: { tenant: 'x' } });
  payload.orderId = 'changed later';
  const second = await send({
    type: 'Other',
    messageId: 'b',
    payload: [1],
    correlationId: null,
    causationId: 'z',
  });
  return [first, second].map(({ answer, entry }) => [
    answer,
    entry.messageId,
    entry.status,
    entry.commandType,
  ]);
};

const sendsAtOnce: Behavior = ({ send }) =>
  Promise.all(['1', '2', '3'].map((id) => send(shipOrder, order(id)))).then(() => null);

const sendsTwice: Behavior = async ({ send }) => {
  await send(shipOrder, order('1'));
  return (await send(shipOrder, order('1'))).answer;
};

const conflicts: Behavior = async ({ send }) => {
  await send(shipOrder, order('1'));
  await send(shipOrder, { ...order('1'), payload: { orderId: '2' } });
};

const sendsOwnId: Behavior = async ({ send, messageId }) =>
  void (await send(shipOrder, { ...order('1'), messageId }));

const rollsBack: Behavior = async ({ send, tx }) => {
  await send(shipOrder, order('1'));
  await tx.query('begin');
  await send(shipOrder, order('2'));
  await tx.query('rollback');
  await tx.query('begin');
  // Nothing with this id is left, so another payload is no conflict.
  await send(shipOrder, { ...order('2'), payload: { orderId: '3' } });
  await tx.query('commit');
};

const sendsAfterError: Behavior = async ({ send, tx }) => {
  await tx.query('select 1 / 0').catch(() => {});
  await send(shipOrder, order('1'));
};

for (const kind of ['migrated', 'empty'] as const) {
  describe(`a handler that sends, in a database that is ${kind}`, () => {
    let database: TestDatabase;
    let pool: Pool;

    before(async () => {
      database = await createTestDatabase(kind);
      ({ pool } = database);
    });
    after(() => database.drop());

    const run = (handle: Behavior, message: { messageId?: string; correlationId?: string } = {}) =>
      runCommand(behaving(handle), { pool, payload: {}, ...message });
    const idsOf = async (handle: Behavior) => (await run(handle)).sent.map(({ messageId }) => messageId);

    it('sends by value and by name, with the ids of the flow', async () => {
      const { result, sent } = await run(sendsBothWays, { messageId: 'own', correlationId: 'flow' });
      assert.deepEqual(result, [
        ['accepted', 'a', 'Pending', 'ShipOrder'],
        ['accepted', 'b', 'Pending', 'Other'],
      ]);
      assert.deepEqual(sent, [
        {
          type: 'ShipOrder',
          messageId: 'a',
          payload: { orderId: '1', parcels: 2 },
          correlationId: 'flow',
          causationId: 'own',
          metadata: { tenant: 'x' },
        },
        { type: 'Other', messageId: 'b', payload: [1], correlationId: null, causationId: 'z', metadata: {} },
      ]);
    });

    it('lists sends in the order of the calls, also if they run at once', async () => {
      assert.deepEqual(await idsOf(sendsAtOnce), ['ship-1', 'ship-2', 'ship-3']);
    });

    it('answers a second send of the same message as a duplicate, and refuses another one with its id', async () => {
      assert.equal((await run(sendsTwice)).result, 'duplicate');
      await assert.rejects(run(conflicts), (error) => {
        assert.ok(error instanceof IdempotencyConflictError);
        return error.messageId === 'ship-1';
      });
    });

    it('knows its own message, which a worker would have stored', async () => {
      const itself = behaving(async ({ send, messageId, payload }) => {
        return (await send({ type: 'Behave', messageId, payload: { ...payload } })).answer;
      });
      assert.equal((await runCommand(itself, { pool, payload: { n: 1 } })).result, 'duplicate');
      await assert.rejects(run(sendsOwnId), IdempotencyConflictError);
    });

    it('forgets what was sent in a nested transaction that the handler rolled back', async () => {
      assert.deepEqual(await idsOf(rollsBack), ['ship-1', 'ship-2']);
    });

    it('fails with an invalid message, whether the handler awaits and catches the error or not', async () => {
      const wrong = { messageId: 'a', payload: { orderId: 1 as unknown as string } };
      const behaviors: Behavior[] = [
        ({ send }) => send(shipOrder, wrong),
        async ({ send }) => void (await send(shipOrder, wrong).catch(() => {})),
        ({ send }) => send(shipOrder, { ...order('1'), messageId: '' }),
        ({ send }) => send({ type: '', ...order('1') }),
      ];
      for (const [at, field] of ['payload.orderId', 'payload.orderId', 'messageId', 'type'].entries()) {
        await assert.rejects(run(behaviors[at]!), (error) => {
          assert.ok(error instanceof InvalidMessageError, String(error));
          assert.equal(error.field, field);
          return true;
        });
      }
    });

    it('fails with ForgottenAwait if the handler does not await a send', async () => {
      await assert.rejects(
        run(({ send }) => void send(shipOrder, order('1'))),
        { errorType: 'ForgottenAwait', problem: /returned before send/ },
      );
    });

    it('fails if an earlier statement has aborted the transaction', async () => {
      await assert.rejects(run(sendsAfterError), {
        errorType: 'TransactionAborted',
        problem: /division by zero/,
      });
    });

    it('sends a contract whose handler is elsewhere', async () => {
      const contract = defineContract({
        type: 'Elsewhere',
        schema: z.object({ at: z.string().transform(Number) }),
      });
      const handle: Behavior = async ({ send }) =>
        void (await send(contract, { messageId: 'a', payload: { at: '1' } }));
      const { sent } = await run(handle);
      assert.deepEqual(sent[0]?.payload, { at: '1' });
    });
  });
}

describe('a handler that sends, in a database with messages', () => {
  it('finds the stored ones, and stores none', async () => {
    const database = await createTestDatabase();
    const { pool } = database;
    const inbox = await createInbox({ pool, directUrl: null });
    await inbox.send(shipOrder, order('1'));
    const handle: Behavior = async ({ send }) => [
      (await send(shipOrder, order('1'))).answer,
      (await send(shipOrder, order('2'))).answer,
    ];
    const { result } = await runCommand(behaving(handle), { pool, payload: {} });
    assert.deepEqual(result, ['duplicate', 'accepted']);
    assert.deepEqual(await rows(pool, 'select message_id from inbox.entries'), [{ message_id: 'ship-1' }]);
    await inbox.close();
    await database.drop();
  });
});
