/** Attempts that are interrupted by Postgres, the network or a shutdown don't count as failed attempts. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import type { CommandDefinition, HandlerContext } from '../../../src/commands/define-command.ts';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { undoAttemptClaim, MAX_INTERRUPTIONS } from '../../../src/store/entries.ts';
import { listFailures } from '../../../src/store/failures.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { startPgBouncer, withoutPgBouncer } from '../../support/pgbouncer.ts';
import type { PgBouncer, PoolMode } from '../../support/pgbouncer.ts';
import { eventually } from '../../support/wait.ts';

type Behavior = (context: HandlerContext<{ behavior: string }>) => Promise<unknown>;

/** How many attempts ran, by message_id. */
const ran = new Map<string, number>();

const behaviors: Record<string, Behavior> = {
  async losesConnection({ tx, messageId }) {
    if (ran.get(messageId) === 1) await tx.query('select pg_terminate_backend(pg_backend_pid())');
    return 'done';
  },
  async hidesLostConnection({ tx, messageId }) {
    if (ran.get(messageId) === 1) {
      await tx.query('select pg_terminate_backend(pg_backend_pid())').catch(() => {});
      throw new Error('the order could not be saved');
    }
    return 'done';
  },
  async alwaysLosesConnection({ tx }) {
    await tx.query('select pg_terminate_backend(pg_backend_pid())');
  },
  async findsDiskFull({ tx, messageId }) {
    if (ran.get(messageId) === 1) {
      await tx.query(`do $$ begin raise sqlstate '53100'; end $$`).catch(() => {});
    }
    await tx.query('select 1');
    return 'done';
  },
  /** Like TypeORM, which keeps the driver's error in a property of its own. */
  async wrapsDiskFull({ tx, messageId }) {
    if (ran.get(messageId) !== 1) return 'done';
    await tx.query('savepoint s');
    const driverError: unknown = await tx
      .query(`do $$ begin raise sqlstate '53100'; end $$`)
      .catch((error: unknown) => error);
    await tx.query('rollback to s');
    throw Object.assign(new Error('the query failed'), { driverError });
  },
  async throwsUnreadableCause() {
    throw Object.defineProperty(new Error('unreadable'), 'cause', {
      get() {
        throw new Error('the cause cannot be read');
      },
    });
  },
  async findsAnotherServerDown() {
    throw Object.assign(new Error('connect ECONNREFUSED 10.0.0.1:443'), { code: 'ECONNREFUSED' });
  },
  async recoversAndFailsLater({ tx, messageId }) {
    if (ran.get(messageId) === 1) {
      await tx.query('savepoint s');
      await tx.query(`do $$ begin raise sqlstate '53100'; end $$`).catch(() => {});
      await tx.query('rollback to s');
      throw new Error('unrelated failure');
    }
    return 'done';
  },
  async waits({ signal, messageId }) {
    if (ran.get(messageId) === 1) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    return 'done';
  },
};

const define = (type: string, express: CommandDefinition['express'] & {}, maximumAttempts: number) =>
  defineCommand({
    type,
    express,
    schema: z.object({ behavior: z.string() }),
    retry: { maximumAttempts, initialInterval: '10ms', maximumInterval: '20ms' },
    async handle(context) {
      ran.set(context.messageId, (ran.get(context.messageId) ?? 0) + 1);
      return behaviors[context.payload.behavior]!(context);
    },
  });

const commands = [define('Ordinary', false, 2), define('Express', true, 2)];

describe('an attempt that is interrupted', () => {
  let fixture: TestInbox;
  let inbox: Inbox;

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
    await fixture.startWorker(commands, { concurrency: 4, expressConcurrency: 4 });
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
  });

  const send = async (type: string, behavior: string) => {
    const messageId = fixture.id(`${type}-${behavior}`);
    await inbox.send({ messageId, type, payload: { behavior } });
    return messageId;
  };

  for (const type of ['Ordinary', 'Express']) {
    for (const behavior of ['losesConnection', 'hidesLostConnection', 'findsDiskFull', 'wrapsDiskFull']) {
      it(`does not count as a failed attempt: ${type}, ${behavior}`, async () => {
        const messageId = await send(type, behavior);
        const entry = await fixture.reaches(messageId, 'Completed');
        assert.deepEqual([entry.retryCount, entry.attempt, ran.get(messageId)], [0, 2, 2]);
        assert.deepEqual(await listFailures(fixture.pool, messageId), []);
      });
    }

    it(`counts as a failed attempt after ${MAX_INTERRUPTIONS} interruptions: ${type}`, async () => {
      const messageId = await send(type, 'alwaysLosesConnection');
      const entry = await fixture.reaches(messageId, 'DeadLetter');
      assert.deepEqual([entry.retryCount, entry.attempt], [2, MAX_INTERRUPTIONS + 2]);
      const failures = await listFailures(fixture.pool, messageId);
      assert.deepEqual(
        failures.map(({ errorType }) => errorType),
        ['ConnectionLost', 'ConnectionLost'],
      );
    });

    it(`differs from an attempt that finds another server down, which counts as failed: ${type}`, async () => {
      const messageId = await send(type, 'findsAnotherServerDown');
      const entry = await fixture.reaches(messageId, 'DeadLetter');
      assert.deepEqual([entry.retryCount, ran.get(messageId)], [2, 2]);
    });

    it(`differs from an attempt whose error has an unreadable cause, which counts as failed: ${type}`, async () => {
      const messageId = await send(type, 'throwsUnreadableCause');
      const entry = await fixture.reaches(messageId, 'DeadLetter');
      assert.deepEqual([entry.error, entry.retryCount], ['Error: unreadable', 2]);
    });

    it(`differs from an attempt that recovers and fails later, which counts as failed: ${type}`, async () => {
      const messageId = await send(type, 'recoversAndFailsLater');
      assert.equal((await fixture.reaches(messageId, 'Completed')).retryCount, 1);
    });
  }

  it('is counted from zero again after a replay', async () => {
    const messageId = fixture.id('Ordinary-alwaysLosesConnection');
    await fixture.reaches(messageId, 'DeadLetter');
    await fixture.client.workflow.getHandle(messageId).signal('replay');
    const entry = await eventually('the command is a dead letter again', async () => {
      const found = await fixture.entry(messageId);
      return found?.generation === 1 && found.status === 'DeadLetter' ? found : null;
    });
    assert.deepEqual([entry.retryCount, entry.attempt], [2, 2 * (MAX_INTERRUPTIONS + 2)]);
  });
});

describe('an attempt that a shutdown interrupts', () => {
  for (const type of ['Ordinary', 'Express']) {
    it(`does not count as failed, and runs again in the next worker: ${type}`, async () => {
      const fixture = await createTestInbox();
      const inbox = await createInbox({ pool: fixture.pool });
      try {
        const first = await fixture.startWorker(commands, { shutdownGraceMs: 0 });
        const messageId = fixture.id(`cut-${type}`);
        await inbox.send({ messageId, type, payload: { behavior: 'waits' } });
        await eventually('the attempt runs', () => ran.get(messageId) === 1);
        await first.stop();
        assert.equal((await fixture.entry(messageId))!.status, 'Pending');
        await fixture.startWorker(commands);
        const entry = await fixture.reaches(messageId, 'Completed');
        assert.deepEqual([entry.retryCount, ran.get(messageId)], [0, 2]);
        assert.deepEqual(await listFailures(fixture.pool, messageId), []);
      } finally {
        await inbox.close();
        await fixture.close();
      }
    });
  }
});

describe('undoAttemptClaim', () => {
  let fixture: TestInbox;
  before(async () => {
    fixture = await createTestInbox();
  });
  after(() => fixture.close());

  const claimed = async (name: string, retryCount: number) => {
    const messageId = fixture.id(name);
    await fixture.pool.query(
      `insert into inbox.entries (message_id, command_type, payload, fingerprint, status, attempt, claimed_at, retry_count, error)
       values ($1, 'T', '1', inbox.fingerprint('T', '1'), 'Processing', 3, now(), $2, case when $2 > 0 then 'Error: old' end)`,
      [messageId, retryCount],
    );
    return messageId;
  };
  const how = { interrupted: true, takenAgoMs: 0 };

  it('makes the entry of a first attempt Pending again, and keeps the fencing token', async () => {
    const messageId = await claimed('first', 0);
    assert.equal(await undoAttemptClaim(fixture.pool, messageId, 3, how), true);
    const { status, attempt, nextRetryAt } = (await fixture.entry(messageId))!;
    assert.deepEqual([status, attempt, nextRetryAt], ['Pending', 3, null]);
    const counted = 'select given_back, interruptions from inbox.entries where message_id = $1';
    assert.deepEqual(await rows(fixture.pool, counted, [messageId]), [{ given_back: 1, interruptions: 1 }]);
  });

  it('makes the entry of a retry Failed again, due now, with its old error', async () => {
    const messageId = await claimed('retry', 1);
    assert.equal(await undoAttemptClaim(fixture.pool, messageId, 3, how), true);
    const { status, attempt, nextRetryAt, error, retryCount } = (await fixture.entry(messageId))!;
    assert.deepEqual([status, attempt, error, retryCount], ['Failed', 3, 'Error: old', 1]);
    assert.ok(nextRetryAt! <= new Date());
  });

  it('changes nothing if the attempt is not the current one', async () => {
    const messageId = await claimed('stale', 0);
    assert.equal(await undoAttemptClaim(fixture.pool, messageId, 2, how), false);
    assert.equal((await fixture.entry(messageId))!.status, 'Processing');
  });

  it('refuses a further interruption after too many, but still gives back attempts for other reasons', async () => {
    const messageId = await claimed('many', 0);
    await fixture.pool.query('update inbox.entries set interruptions = $2 where message_id = $1', [
      messageId,
      MAX_INTERRUPTIONS,
    ]);
    assert.equal(await undoAttemptClaim(fixture.pool, messageId, 3, how), false);
    assert.equal(await undoAttemptClaim(fixture.pool, messageId, 3, { ...how, interrupted: false }), true);
  });
});

const once = (type: string, express: boolean) =>
  defineCommand({
    type,
    express,
    schema: z.any(),
    retry: { maximumAttempts: 1 },
    handle: ({ tx }) => tx.query('select pg_sleep(0.3)').then(() => 'done'),
  });

describe('a pooler with fewer connections than the worker', { skip: withoutPgBouncer }, () => {
  for (const poolMode of ['session', 'transaction'] satisfies PoolMode[]) {
    for (const type of ['Ordinary', 'Express']) {
      it(`delays attempts without failing them: ${poolMode} mode, ${type}`, async () => {
        const fixture = await createTestInbox();
        let bouncer: PgBouncer | undefined;
        try {
          bouncer = await startPgBouncer(fixture.database.url, {
            poolMode,
            settings: { default_pool_size: 12 },
          });
          await fixture.startWorker([once('Ordinary', false), once('Express', true)], {}, bouncer.url);
          const inbox = await createInbox({ pool: fixture.pool });
          await inbox.send(
            Array.from({ length: 80 }, (_, number) => ({
              messageId: fixture.id(`m${number}`),
              type,
              payload: {},
            })),
          );
          await inbox.close();
          const settled = await eventually('all commands are settled', async () => {
            const found = await rows<{ status: string; count: number }>(
              fixture.pool,
              'select status, count(*)::int from inbox.entries group by status',
            );
            return found.every(({ status }) => ['Completed', 'DeadLetter'].includes(status)) ? found : null;
          });
          assert.deepEqual(await rows(fixture.pool, 'select error from inbox.failures'), []);
          assert.deepEqual(settled, [{ status: 'Completed', count: 80 }]);
        } finally {
          await fixture.close();
          await bouncer?.stop();
        }
      });
    }
  }
});
