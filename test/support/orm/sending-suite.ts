/**
 * The tests that every adapter passes: sending in the transaction of a library is the same as sending in one of `pg`.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { describeEntries } from './entries-suite.ts';
import type { LibraryRow } from './library.ts';
import { describeRefusals } from './refusals-suite.ts';
import { CHANGED_MIND, reserveStock, SendingFixture } from './sending-fixture.ts';

/** @param row - the library, whose `open` is called several times */
export function describeSending(name: string, row: LibraryRow): void {
  describe(`sending in a transaction of ${name}`, () => {
    const fixture = new SendingFixture(row);
    before(() => fixture.open());
    after(() => fixture.close());

    describeTransactions(fixture);
    describeEntries(fixture);
    describeRefusals(fixture);
  });
}

function describeTransactions(fixture: SendingFixture): void {
  const areStored = (...ids: string[]) => Promise.all(ids.map((id) => fixture.isStored(id)));

  it('commits the message and the row together, once', async () => {
    const answers: string[] = [];
    for (let count = 0; count < 2; count += 1) {
      await fixture.library.transaction(async (tx) => {
        const { answer } = await fixture.send(tx, 'kept');
        answers.push(answer);
        if (answer === 'accepted') await tx.writeOrder('kept');
        assert.equal(await fixture.isStored('kept'), count > 0, 'others see it after the COMMIT');
      });
    }
    assert.deepEqual(answers, ['accepted', 'duplicate']);
    assert.ok(await fixture.isStored('kept'));
    assert.ok(await fixture.hasOrder('kept'));
  });

  it('rolls both back, and the message_id is free', async () => {
    const failing = fixture.library.transaction(async (tx) => {
      assert.equal((await fixture.send(tx, 'dropped')).answer, 'accepted');
      await tx.writeOrder('dropped');
      throw CHANGED_MIND;
    });
    await assert.rejects(failing, CHANGED_MIND);
    assert.equal(await fixture.isStored('dropped'), false);
    assert.equal(await fixture.hasOrder('dropped'), false);
    await fixture.library.transaction(async (tx) => {
      assert.equal((await fixture.send(tx, 'dropped', 'another payload')).answer, 'accepted');
    });
  });

  const rollsBackInnerSend = async () => {
    await fixture.library.transaction(async (tx) => {
      await fixture.send(tx, 'outer before');
      const inner = tx.nested!(async (nested) => {
        await fixture.send(nested, 'inner');
        await nested.writeOrder('inner');
        throw CHANGED_MIND;
      });
      await assert.rejects(inner, CHANGED_MIND);
      await tx.nested!(async (nested) => void (await fixture.send(nested, 'inner kept')));
      await fixture.send(tx, 'outer after');
    });
    const stored = await areStored('outer before', 'inner', 'inner kept', 'outer after');
    assert.deepEqual(stored, [true, false, true, true]);
    assert.equal(await fixture.hasOrder('inner'), false);
  };
  if (fixture.row.savepoints) it('rolls back only the inner send with a savepoint', rollsBackInnerSend);

  it('sends a list, in its order', async () => {
    await fixture.library.transaction(async (tx) => void (await fixture.send(tx, 'known')));
    await fixture.library.transaction(async ({ client }) => {
      const list = ['list 2', 'known', 'list 1', 'list 2'].map((id) => reserveStock(id));
      const sent = await fixture.inbox.send(list, { tx: client });
      assert.deepEqual(
        sent.map(({ answer, entry }) => [answer, entry.messageId]),
        [
          ['accepted', 'list 2'],
          ['duplicate', 'known'],
          ['accepted', 'list 1'],
          ['duplicate', 'list 2'],
        ],
      );
    });
    assert.deepEqual(await areStored('list 1', 'list 2'), [true, true]);
  });

  it('sends several messages at once', async () => {
    await fixture.library.transaction(async (tx) => {
      const sent = await Promise.all([
        fixture.send(tx, 'at once 1'),
        fixture.send(tx, 'at once 2', [2]),
        fixture.send(tx, 'kept'),
      ]);
      assert.deepEqual(
        sent.map(({ answer, entry }) => [answer, entry.messageId, entry.payload]),
        [
          ['accepted', 'at once 1', { sku: 'tea' }],
          ['accepted', 'at once 2', [2]],
          ['duplicate', 'kept', { sku: 'tea' }],
        ],
      );
    });
    assert.deepEqual(await areStored('at once 1', 'at once 2'), [true, true]);
  });
}
