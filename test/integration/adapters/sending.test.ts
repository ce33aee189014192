/** Sending in the transactions of the libraries that `temporal-inbox/adapters` supports. Prisma has a file of its own. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { UnusableTransactionError } from '../../../src/core/errors.ts';
import { LIBRARIES } from '../../support/orm/libraries.ts';
import { reserveStock, SendingFixture } from '../../support/orm/sending-fixture.ts';
import { describeSending } from '../../support/orm/sending-suite.ts';

for (const [name, row] of Object.entries(LIBRARIES)) describeSending(name, row);

describe('a client of your own', () => {
  const fixture = new SendingFixture(LIBRARIES['pg itself']!);
  before(() => fixture.open());
  after(() => fixture.close());

  it('may return rows as lists', async () => {
    await fixture.library.transaction(async ({ client }) => {
      const asLists = async (text: string, values: unknown[]) => {
        const { rows } = await client.query(text, values);
        return { rows: rows.map((row) => Object.values(row as object) as unknown[]) };
      };
      const { entry } = await fixture.inbox.send(reserveStock('lists'), { tx: { query: asLists } });
      assert.equal(entry.messageId, 'lists');
    });
    assert.ok(await fixture.isStored('lists'));
  });

  for (const answer of [[], undefined, null, { rows: 1 }])
    it(`must not answer with ${JSON.stringify(answer)}`, async () => {
      await assert.rejects(
        fixture.inbox.send(reserveStock('unread'), { tx: { query: async () => answer as never } }),
        (error) => {
          assert.ok(error instanceof UnusableTransactionError);
          assert.match(error.message, /must resolve to \{ rows \}, .* roll the transaction back/);
          return true;
        },
      );
    });
});
