/**
 * Closing a sender's inbox, its timeouts, and the arguments that it refuses.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Message } from '../../../src/commands/message.ts';
import type { Pool, PoolClient } from 'pg';
import { createPool } from '../../../src/platform/postgres.ts';
import {
  ConfigurationError,
  InboxClosedError,
  MessageLockedError,
  ResultTimeoutError,
  UnusableTransactionError,
} from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { eventually } from '../../support/wait.ts';

const message = (messageId: string) => ({ messageId, type: 'Unhandled', payload: { n: 1 } });

describe('an inbox', () => {
  let database: TestDatabase;
  let pool: Pool;

  before(async () => {
    database = await createTestDatabase();
    pool = database.pool;
  });
  after(async () => {
    // A test that failed left its blocker, and the pool would wait for it forever.
    for (const blocker of blockers) blocker.release(true);
    await database.drop();
  });

  const blockers = new Set<PoolClient>();

  /** Sends of this id wait until {@link unblock} is called with the returned client. */
  async function blockId(messageId: string): Promise<PoolClient> {
    const client = await pool.connect();
    blockers.add(client);
    await client.query('begin');
    await client.query("select inbox.send($1, 'Unhandled', '{}')", [messageId]);
    return client;
  }

  async function unblock(blocker: PoolClient): Promise<void> {
    await blocker.query('rollback');
    blocker.release();
    blockers.delete(blocker);
  }

  /** @param hasEnded - whether the send has given up, which it does after 2 s */
  function untilBlocked(hasEnded: () => boolean): Promise<unknown> {
    return eventually('a send waits for the lock', async () => {
      if (hasEnded()) return true;
      const { rows } = await pool.query(
        "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
      );
      return rows.length > 0;
    });
  }

  it('ends its waits at once when it is closed, and refuses later calls', async () => {
    const inbox = await createInbox({ pool });
    const waiting = ['a', 'b'].map((id) =>
      assert.rejects(inbox.execute(message(`closed-${id}`)), InboxClosedError),
    );
    await eventually('both are sent', async () => inbox.status('closed-b'));
    const began = performance.now();
    const closing = inbox.close();
    await Promise.all(waiting);
    await closing;
    assert.ok(performance.now() - began < 20_000, 'close must not wait for the 30 s timeout of execute');
    await inbox.close();
    for (const call of [
      () => inbox.send(message('late')),
      () => inbox.send([message('late')]),
      () => inbox.send(message('late'), { tx: pool as never }),
      () => inbox.execute(message('late')),
    ])
      await assert.rejects(call, (error) => error instanceof InboxClosedError && error.messageId === null);
    const { rows } = await pool.query("select from inbox.entries where message_id = 'late'");
    assert.equal(rows.length, 0);
  });

  it('waits for the sends in progress when it is closed', async () => {
    // A send gives up after 2 s, which can be too short for the steps of this test on a busy machine. Then it starts over.
    for (let attempt = 1; ; attempt += 1) {
      const inbox = await createInbox({ pool });
      const id = `under-way-${attempt}`;
      const blocker = await blockId(id);
      const ended: string[] = [];
      const sending = inbox.send(message(id)).then(
        ({ answer }) => ended.push(answer),
        () => ended.push('refused'),
      );
      await untilBlocked(() => ended.length > 0);
      const closing = inbox.close().then(() => ended.push('closed'));
      await unblock(blocker);
      await Promise.all([sending, closing]);
      if (ended[0] === 'refused' && attempt < 10) continue;
      assert.deepEqual(ended, ['accepted', 'closed']);
      return;
    }
  });

  it('includes the send in the timeout of execute', async () => {
    const inbox = await createInbox({ pool });
    const blocker = await blockId('blocked');
    await assert.rejects(
      inbox.execute(message('blocked'), { timeoutMs: 200 }),
      (error) => error instanceof ResultTimeoutError && !error.accepted,
    );
    const reason = new Error('the caller has gone');
    for (let attempt = 1; ; attempt += 1) {
      const gone = new AbortController();
      let hasEnded = false;
      const outcome = inbox
        .execute(message('blocked'), { signal: gone.signal })
        .catch((error: unknown) => error)
        .finally(() => (hasEnded = true));
      await untilBlocked(() => hasEnded);
      gone.abort(reason);
      // The send may have given up before the abort, as above.
      if ((await outcome) instanceof MessageLockedError && attempt < 10) continue;
      assert.equal(await outcome, reason);
      break;
    }
    await unblock(blocker);
    await inbox.close();
  });

  for (const timeoutMs of [Number.NaN, -1, Infinity, 2 ** 31, '5s', null]) {
    it(`refuses a timeout of ${String(timeoutMs)}, and sends nothing`, async () => {
      const inbox = await createInbox({ pool });
      const id = `timeout-${String(timeoutMs)}`;
      await assert.rejects(inbox.execute(message(id), { timeoutMs } as never), (error: Error) => {
        assert.ok(error instanceof ConfigurationError);
        assert.match(error.message, /timeoutMs \(.*\) must be a number of milliseconds/);
        return true;
      });
      assert.equal(await inbox.status(id), null);
      await inbox.close();
    });
  }

  it('refuses a tx that is not a transaction, or that was aborted', async () => {
    const inbox = await createInbox({ pool });
    for (const [tx, problem] of [
      [pool, /tx is a pool/],
      [{}, /tx must be a client/],
    ] as const) {
      for (const input of [message('no-tx'), [message('no-tx')]] as const) {
        await assert.rejects(inbox.send(input as Message, { tx: tx as never }), (error: Error) => {
          assert.ok(error instanceof UnusableTransactionError);
          assert.match(error.message, problem);
          return true;
        });
      }
    }
    const client = await pool.connect();
    await client.query('begin');
    await assert.rejects(client.query('select 1/0'));
    await assert.rejects(inbox.send(message('no-tx'), { tx: client }), (error: Error) => {
      assert.ok(error instanceof UnusableTransactionError);
      assert.match(error.message, /aborted by an earlier error; roll it back/);
      return true;
    });
    await client.query('rollback');
    client.release();
    assert.equal(await inbox.status('no-tx'), null);
    await inbox.close();
  });

  it('reports that its pool was ended', async () => {
    const own = createPool({ connectionString: database.url, max: 2, applicationName: 'inbox tests' });
    const inbox = await createInbox({ pool: own });
    await own.end();
    await assert.rejects(inbox.send(message('ended')), /the pool of this inbox was ended/);
    await assert.rejects(inbox.send([message('ended')]), /the pool of this inbox was ended/);
    await assert.rejects(inbox.execute(message('ended')), /the pool of this inbox was ended/);
    await inbox.close();
    await assert.rejects(createInbox({ pool: own }), /createInbox: pool was ended/);
  });

  it('names every invalid option', async () => {
    const options = {
      pool: {},
      maxPayloadBytes: Number.NaN,
      commands: 'none',
      log: 1,
      directUrl: 5,
      maxPayload: 1,
    };
    await assert.rejects(createInbox(options as never), (error: Error) => {
      assert.ok(error instanceof ConfigurationError);
      for (const problem of [
        'maxPayload is not an option of createInbox',
        'pool must be a pg.Pool',
        'directUrl must be a URL or null',
        'commands must be an array',
        'maxPayloadBytes (NaN) must be a whole number from 1 to 1048576',
        'log must be an object',
      ])
        assert.ok(error.message.includes(problem), `${problem}: ${error.message}`);
      return true;
    });
    for (const maxPayloadBytes of [0, -1, 1.5, 2_000_000, '100'])
      await assert.rejects(createInbox({ pool, maxPayloadBytes } as never), ConfigurationError);
  });
});
