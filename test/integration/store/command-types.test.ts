/** `inbox.command_types`: the types that workers have known. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { isKnownCommandType, noteCommandTypes } from '../../../src/store/command-types.ts';
import { migrate } from '../../../src/store/migrate.ts';
import { readMigrations } from '../../../src/store/migration-files.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';

describe('known command types', () => {
  let database: TestDatabase;
  before(async () => (database = await createTestDatabase()));
  after(() => database.drop());

  it('are remembered', async () => {
    await noteCommandTypes(database.pool, ['Pay', 'Ship']);
    await noteCommandTypes(database.pool, ['Ship', 'Pay', 'Ship']);
    assert.equal(await isKnownCommandType(database.pool, 'Pay'), true);
    assert.equal(await isKnownCommandType(database.pool, 'pay'), false);
  });

  it('of earlier releases are found by the migration', async () => {
    const older = await createTestDatabase('empty');
    const { pool } = older;
    const migrations = await readMigrations();
    await migrate(pool, migrations.slice(0, 24));
    await pool.query(
      `insert into inbox.entries (message_id, command_type, payload, fingerprint)
       select n::text, type, '{}', inbox.fingerprint(type, '{}')
       from unnest('{Waits,Waits,Fails,Done}'::text[]) with ordinality as given (type, n)`,
    );
    await pool.query(
      `begin; set local session_replication_role = replica;
       update inbox.entries set status = 'Failed', attempt = 1, retry_count = 1, claimed_at = now(), error = 'x',
         next_retry_at = now() where command_type = 'Fails';
       update inbox.entries set status = 'Completed', attempt = 1, claimed_at = now(), processed_at = now()
         where command_type = 'Done';
       commit`,
    );
    await pool.query(
      `insert into inbox.workers (id, identity, namespace, task_queue, command_types)
       values (gen_random_uuid(), 'older', 'default', 'inbox', '{Runs,Waits}')`,
    );
    await migrate(pool, migrations);
    const { rows } = await pool.query<{ command_type: string }>(
      'select command_type from inbox.command_types order by 1',
    );
    assert.deepEqual(
      rows.map(({ command_type: type }) => type),
      ['Done', 'Fails', 'Runs', 'Waits'],
    );
    await older.drop();
  });

  it('can be noted by many workers at once, in any order', async () => {
    for (let round = 0; round < 10; round += 1) {
      const types = Array.from({ length: 300 }, (_, index) => `Type${round}-${index}`);
      const orders = [types, types.toReversed(), types.toSorted(), types.toSorted().toReversed()];
      await Promise.all(orders.map((order) => noteCommandTypes(database.pool, order)));
    }
    const { rows } = await database.pool.query('select from inbox.command_types');
    assert.equal(rows.length, 3_002);
  });
});
