/** A test inbox on the servers that DATABASE_URL and TEMPORAL_ADDRESS name. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import type { CommandDefinition } from '../../../src/commands/define-command.ts';
import {
  ConfigurationError,
  DeadLetterError,
  InvalidCommandError,
  InvalidMessageError,
} from '../../../src/core/errors.ts';
import { discard, replay } from '../../../src/operations/index.ts';
import { createTestInbox, WaitTimeoutError } from '../../../src/testing/index.ts';
import type { TestInbox } from '../../../src/testing/index.ts';
import { reaches, settled } from '../../../src/testing/waits.ts';
import { rows } from '../../support/rows.ts';
import { createStock, freeTea, reserveStock, shipOrder } from '../../support/test-commands.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { gate } from '../../support/wait.ts';

const payload = { sku: 'tea', quantity: 2 };

/** Sends itself with a smaller number until that is 0. */
const countDown = defineCommand({
  type: 'CountDown',
  schema: z.object({ from: z.int() }),
  async handle({ payload: { from }, send, messageId }) {
    for (const part of from > 0 ? ['a', 'b'] : [])
      await send({ type: 'CountDown', messageId: `${messageId}${part}`, payload: { from: from - 1 } });
  },
});

const failing = defineCommand({
  type: 'Fails',
  schema: z.object({}),
  retry: { initialInterval: '1 hour', maximumInterval: '1 hour' },
  handle() {
    throw new TypeError('out of order');
  },
});

/** The message of a wait of 200 ms that ends too early. */
async function problemOf(waiting: Promise<unknown>): Promise<string> {
  let message = '';
  await assert.rejects(waiting, (error) => {
    assert.ok(error instanceof WaitTimeoutError, String(error));
    assert.equal(error.timeoutMs, 200);
    ({ message } = error);
    return true;
  });
  return message;
}

describe('createTestInbox', () => {
  const commands = [reserveStock, shipOrder, countDown, failing];
  let test: TestInbox<(typeof commands)[number]>;

  before(async () => {
    test = await createTestInbox({ commands });
    await createStock(test.pool);
  });
  after(() => test.close());

  it('runs commands that are executed or sent, and what they send', async () => {
    assert.deepEqual(await test.execute(reserveStock, { messageId: 'order-1', payload }), { free: 8 });
    const entries = await test.settled('order-1');
    assert.deepEqual(
      entries.map(({ messageId, status, result }) => [messageId, status, result]),
      [
        ['order-1', 'Completed', { free: 8 }],
        ['order-1-ship', 'Completed', null],
      ],
    );
    assert.equal(await freeTea(test.pool), 7);
    await test.send({ type: 'ShipOrder', messageId: 'ship-1', payload: { orderId: '1' } });
    assert.equal((await test.reaches('ship-1', 'Completed')).commandType, 'ShipOrder');
    const client = test.client.workflow.getHandle('ship-1');
    assert.equal((await client.describe()).taskQueue, test.taskQueue);
  });

  it('settles a flow only when everything that it has caused has ended', async () => {
    await test.send(countDown, { messageId: 'count-', payload: { from: 3 } });
    const entries = await test.settled('count-');
    assert.equal(entries.length, 15);
    assert.equal(entries[0]?.messageId, 'count-');
    assert.ok(entries.every(({ status }) => status === 'Completed'));
    assert.deepEqual(
      new Set(entries.slice(1).map(({ correlationId }) => correlationId)),
      new Set(['count-']),
    );
  });

  it('settles a flow that has a dead letter, by its correlation_id', async () => {
    const messages = ['found', 'lost'].map((orderId) => ({
      type: 'ShipOrder' as const,
      messageId: `ship-${orderId}`,
      payload: { orderId },
      correlationId: 'flow-1',
    }));
    await test.inbox.sendMany(messages);
    const entries = await test.settled('flow-1');
    assert.deepEqual(
      entries.map(({ messageId, status }) => [messageId, status]),
      [
        ['ship-found', 'Completed'],
        ['ship-lost', 'DeadLetter'],
      ],
    );
    const letters = await test.deadLetters();
    assert.deepEqual(
      letters.map(({ messageId, errorType, error, payload: sent }) => ({
        messageId,
        errorType,
        error,
        sent,
      })),
      [
        {
          messageId: 'ship-lost',
          errorType: 'OrderLost',
          error: 'OrderLost: orderId=lost',
          sent: { orderId: 'lost' },
        },
      ],
    );
    assert.match(letters[0]!.failureGroup, /^ShipOrder\/OrderLost\//);
    await discard(test, 'ship-lost', { reason: 'test' });
    assert.deepEqual(await test.deadLetters(), []);
  });

  it('lets a test replay a dead letter after a fix', async () => {
    const message = { messageId: 'order-2', payload: { sku: 'coffee', quantity: 1 } };
    await assert.rejects(test.execute(reserveStock, message), DeadLetterError);
    assert.equal((await test.deadLetters()).length, 1);
    await test.pool.query(`insert into shop.stock values ('coffee', 5)`);
    assert.equal(await replay(test, 'order-2', { reason: 'coffee has been added' }), 'done');
    const entry = await test.reaches('order-2', 'Completed');
    assert.deepEqual([entry.result, entry.generation], [{ free: 4 }, 1]);
    assert.deepEqual(await test.deadLetters(), []);
  });

  describe('reports what it has found when a wait takes too long', () => {
    const options = { timeoutMs: 200 };
    it('no message', async () => {
      assert.equal(
        await problemOf(test.reaches('nobody', 'Completed', options)),
        'message "nobody" did not become Completed within 200 ms: no message with this id was accepted',
      );
      assert.match(
        await problemOf(test.settled('nobody', options)),
        /flow "nobody" did not all end.*: no message/,
      );
    });

    it('a failure that is retried later', async () => {
      await test.send(failing, { messageId: 'fails', payload: {} });
      await test.reaches('fails', 'Failed');
      const problem =
        /its status is Failed after 1 failed attempt, the next attempt is at 2\d{3}-.*Z, the last error is TypeError: out of order$/;
      assert.match(await problemOf(test.reaches('fails', 'Completed', options)), problem);
      assert.match(await problemOf(test.settled('fails', options)), /"fails": its status is Failed/);
    });

    it('a command that the worker does not have', async () => {
      const inbox: Inbox = test.inbox;
      await inbox.send({ type: 'Unknown', messageId: 'unknown', payload: {} });
      const problem =
        /its status is Pending, the worker has no command Unknown, only ReserveStock, ShipOrder/;
      assert.match(await problemOf(test.reaches('unknown', 'Completed', options)), problem);
    });

    it('a dead letter', async () => {
      await test.send(shipOrder, { messageId: 'lost-2', payload: { orderId: 'lost' } });
      await test.reaches('lost-2', 'DeadLetter');
      const problem =
        /its status is DeadLetter after 1 failed attempt, the last error is OrderLost: orderId=lost$/;
      assert.match(await problemOf(test.reaches('lost-2', 'Completed', options)), problem);
    });
  });

  it('rejects invalid arguments of the waits', async () => {
    await assert.rejects(test.reaches('', 'Completed'), InvalidMessageError);
    await assert.rejects(test.settled(5 as never), InvalidMessageError);
    await assert.rejects(test.reaches('a', 'Done' as never), ConfigurationError);
    await assert.rejects(test.reaches('a', 'Completed', { timeoutMs: -1 }), ConfigurationError);
  });

  it('gives each test inbox a database, a namespace and message ids of its own', async () => {
    const other = await createTestInbox({ commands: [reserveStock, shipOrder] });
    try {
      assert.notEqual(other.databaseUrl, test.databaseUrl);
      await createStock(other.pool);
      const message = { messageId: 'order-1', payload: { sku: 'tea', quantity: 3 } };
      assert.deepEqual(await other.execute(reserveStock, message), { free: 7 });
      assert.equal((await other.settled('order-1')).length, 2);
      assert.equal(await freeTea(other.pool), 6);
    } finally {
      await other.close();
    }
    assert.equal((await test.inbox.status('order-1'))?.status, 'Completed');
    const { pathname } = new URL(other.databaseUrl);
    assert.deepEqual(
      await rows(test.pool, 'select from pg_database where datname = $1', [pathname.slice(1)]),
      [],
    );
    const { workflowService } = test.client.connection;
    await assert.rejects(workflowService.describeNamespace({ namespace: other.client.options.namespace }), {
      code: 5,
    });
  });

  it('passes settings, the log and the hook for dead letters on', async () => {
    const lines: string[] = [];
    const add = (line: string) => void lines.push(line);
    const alerted = gate();
    const own = await createTestInbox({
      commands: [shipOrder],
      settings: { maxPayloadBytes: 1_000, alertWindowMs: 0 },
      log: { debug: add, info: add, warn: add, error: add },
      onDeadLetter: async () => alerted.open(),
    });
    await own.send(shipOrder, { messageId: 'lost', payload: { orderId: 'lost' } });
    await alerted.opened;
    assert.ok(lines.includes('command is a dead letter'), lines.join('\n'));
    await own.close();
  });

  it('closes although a handler hangs and the test has kept a connection, and only once', async () => {
    const { opened, open } = gate();
    const hanging = defineCommand({
      type: 'Hangs',
      schema: z.object({}),
      longRunning: true,
      async handle({ tx }) {
        open();
        await tx.query('select pg_sleep(3600)');
      },
    });
    const own = await createTestInbox({ commands: [hanging] });
    await own.send(hanging, { messageId: 'hangs', payload: {} });
    await opened;
    const kept = await own.pool.connect();
    await Promise.all([own.close(), own.close()]);
    await own.close();
    await assert.rejects(kept.query('select 1'));
    const { pathname } = new URL(own.databaseUrl);
    assert.deepEqual(
      await rows(test.pool, 'select from pg_database where datname = $1', [pathname.slice(1)]),
      [],
    );
  });

  it('does not wait for a worker that has failed', async () => {
    const failure = new Error('the worker failed');
    const watched = { pool: test.pool, types: ['ShipOrder'], workerError: () => failure };
    const isFailure = (error: unknown) => error === failure;
    await assert.rejects(reaches(watched, 'nobody', 'Completed'), isFailure);
    await assert.rejects(settled(watched, 'nobody'), isFailure);
  });

  it('rejects wrong arguments', async () => {
    const wrong: [RegExp, unknown][] = [
      [/options must be an object/, undefined],
      [/commands must be an array with at least one command/, {}],
      [/commands must be an array with at least one command/, { commands: [] }],
      [/pool is not an option/, { commands: [shipOrder], pool: test.pool }],
      [/settings\.taskQueue cannot be set/, { commands: [shipOrder], settings: { taskQueue: 'mine' } }],
      [/settings must be an object/, { commands: [shipOrder], settings: 5 }],
      [/concurrency/, { commands: [shipOrder], settings: { concurrency: 0 } }],
    ];
    for (const [message, options] of wrong)
      await assert.rejects(createTestInbox(options as never), (error) => {
        assert.ok(error instanceof ConfigurationError, String(error));
        assert.match(error.message, message);
        return true;
      });
    const twice: CommandDefinition[] = [shipOrder, shipOrder];
    await assert.rejects(createTestInbox({ commands: twice }), InvalidCommandError);
  });
});
