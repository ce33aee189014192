/** `inbox.command_types`: the types that workers have known. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { isKnownCommandType, noteCommandTypes } from '../../../src/store/command-types.ts';
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
