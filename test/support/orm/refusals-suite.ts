/**
 * How a send in a library's transaction fails, and what is refused instead of being sent on another connection.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { inspect } from 'node:util';
import {
  IdempotencyConflictError,
  MessageLockedError,
  UnusableTransactionError,
} from '../../../src/core/errors.ts';
import { hasSqlState } from '../../../src/platform/error-chain.ts';
import { withTransaction } from '../../../src/platform/postgres.ts';
import type { LibraryTransaction } from './library.ts';
import type { SendingFixture } from './sending-fixture.ts';
import { CHANGED_MIND, reserveStock } from './sending-fixture.ts';

export function describeRefusals(fixture: SendingFixture): void {
  it('reports a conflict, after which the transaction is rolled back', async () => {
    await fixture.inbox.send(reserveStock('conflict'));
    const conflicting = fixture.library.transaction(async (tx) => {
      await tx.writeOrder('conflict');
      await fixture.send(tx, 'conflict', 'another payload');
    });
    await assert.rejects(conflicting, IdempotencyConflictError);
    assert.equal(await fixture.hasOrder('conflict'), false);
  });

  it('reports an id that another transaction has locked', async () => {
    await withTransaction(fixture.database.pool, async (other) => {
      await fixture.inbox.send(reserveStock('locked'), { tx: other });
      const waiting = fixture.library.transaction(async (tx) => {
        await tx.client.query(`set local lock_timeout = '100ms'`, []);
        await fixture.send(tx, 'locked');
      });
      await assert.rejects(waiting, (error) => {
        assert.ok(error instanceof MessageLockedError, inspect(error));
        assert.deepEqual(error.messageIds, ['locked']);
        return true;
      });
    });
    assert.ok(await fixture.isStored('locked'));
  });

  it('reports a transaction that an earlier error has aborted', async () => {
    const aborted = fixture.library.transaction(async (tx) => {
      await assert.rejects(async () => tx.client.query('select 1 / 0', []));
      await assert.rejects(fixture.send(tx, 'aborted'), (error) => {
        assert.ok(error instanceof UnusableTransactionError, inspect(error));
        assert.match(error.message, /aborted by an earlier error; roll it back/);
        return true;
      });
      throw CHANGED_MIND;
    });
    await assert.rejects(aborted, CHANGED_MIND);
    assert.equal(await fixture.isStored('aborted'), false);
  });

  it('passes on other errors of Postgres, without the payload', async () => {
    const secret = 'a name that no log may contain';
    const refused = fixture.library.transaction(async (tx) => {
      await tx.client.query('set local role pg_monitor', []);
      await fixture.send(tx, 'refused', { secret });
    });
    await assert.rejects(refused, (error) => {
      const shown = inspect(error, { depth: Infinity });
      assert.ok(hasSqlState(error, '42501'), shown);
      assert.ok(!shown.includes(secret), shown);
      return true;
    });
  });

  it('is refused for what is not a transaction, and the error says what to pass', () => {
    for (const [what, call] of Object.entries(fixture.library.wrongArguments)) {
      assert.throws(
        call,
        (error) => error instanceof UnusableTransactionError && /: pass the /.test(error.message),
        what,
      );
    }
  });

  it("is refused for the library's own objects, without an adapter", async () => {
    const refuses = (tx: unknown, what: string) =>
      assert.rejects(
        fixture.inbox.send(reserveStock('raw'), { tx: tx as never }),
        UnusableTransactionError,
        what,
      );
    const objects = Object.entries(fixture.library.notTransactions);
    for (const [what, object] of objects) await refuses(object, what);
    await fixture.library.transaction(async ({ raw, client }) => {
      if (raw !== client) await refuses(raw, 'the transaction itself');
    });
    assert.equal(await fixture.isStored('raw'), false);
  });

  const { afterEnd } = fixture.row;
  const what = afterEnd === null ? 'is stored, because the client does not know' : 'fails';
  it(`${what} after the end of the transaction`, async () => {
    let ended: LibraryTransaction | undefined;
    const rolledBack = fixture.library.transaction(async (tx) => {
      ended = tx;
      await tx.writeOrder('ended');
      throw CHANGED_MIND;
    });
    await assert.rejects(rolledBack, CHANGED_MIND);
    if (afterEnd === null) await fixture.send(ended!, 'too late');
    else await assert.rejects(fixture.send(ended!, 'too late'), afterEnd);
    assert.equal(await fixture.isStored('too late'), afterEnd === null);
  });
}
