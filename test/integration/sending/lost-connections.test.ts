/**
 * Connections of a caller's pool that break while the inbox uses them. At that point only the inbox can listen for errors.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client, Pool } from 'pg';
import type { PoolClient } from 'pg';
import { sqlState, withTransaction } from '../../../src/platform/postgres.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { eventually } from '../../support/wait.ts';

describe("a connection of the caller's pool", () => {
  let database: TestDatabase;
  let pool: Pool;

  before(async () => {
    database = await createTestDatabase();
    pool = new Pool({ connectionString: database.url, max: 1 });
    // pg requires this listener from every owner of a pool, but it covers idle connections only.
    pool.on('error', () => {});
  });
  after(async () => {
    await pool.end();
    await database.drop();
  });

  /** The server closes the connection between two statements. When this resolves, pg has noticed. */
  async function loseConnection(client: PoolClient): Promise<void> {
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    const ended = new Promise<void>((resolve) => client.once('end', () => resolve()));
    await database.pool.query('select pg_terminate_backend($1)', [rows[0]!.pid]);
    await ended;
  }

  /** An error event without a listener would fail the test as an uncaught exception. */
  it('that breaks between two statements fails the transaction, but not the process', async () => {
    const lost = withTransaction(pool, async (tx) => {
      await loseConnection(tx);
      await tx.query('select 1');
    });
    await assert.rejects(lost, /not queryable/);
    const inbox = await createInbox({ pool });
    const sent = await inbox.send([{ messageId: 'afterwards', type: 'Note', payload: {} }]);
    assert.equal(sent[0]!.answer, 'accepted');
    await inbox.close();
  });

  it('that breaks at BEGIN is replaced', async () => {
    const inbox = await createInbox({ pool });
    const idle = await pool.connect();
    const { rows } = await idle.query<{ pid: number }>('select pg_backend_pid() as pid');
    idle.release();
    // BEGIN will wait in the socket, and the server closes the connection as soon as it reads it.
    const locker = new Client({ connectionString: database.url });
    await locker.connect();
    await locker.query('select pg_terminate_backend($1)', [rows[0]!.pid]);
    await locker.end();
    await eventually('the connection is gone', async () => {
      const left = await database.pool.query('select from pg_stat_activity where pid = $1', [rows[0]!.pid]);
      return left.rowCount === 0;
    });
    const [sent] = await inbox.send([{ messageId: 'begun again', type: 'Note', payload: {} }]);
    assert.equal(sent!.answer, 'accepted');
    await inbox.close();
  });

  it('has no listener of the inbox while it is idle', async () => {
    const count = () => withTransaction(pool, async (tx) => tx.listenerCount('error'));
    const first = await count();
    await assert.rejects(
      withTransaction(pool, (tx) => tx.query('select 1 / 0')),
      (error) => sqlState(error) === '22012',
    );
    assert.equal(await count(), first);
  });
});
