/**
 * The entries that a send in a library's transaction returns are those that `pg` reads, whatever the library is set to
 * convert.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Json } from '../../../src/core/json.ts';
import type { Library, Settings } from './library.ts';
import type { SendingFixture } from './sending-fixture.ts';
import { reserveStock } from './sending-fixture.ts';

/** What drivers and ORMs might take for placeholders, quotes or their own syntax. */
const PAYLOADS: Record<string, Json> = {
  'a text': `"quotes", 'single', $1 $2::jsonb :name ? ?? \\? \\ \n{{x}} %s é 😀 \u2028 null`,
  'a text that looks like JSON': '{"a": 1}',
  'a text that looks like a date': '2026-11-30T12:00:00.000Z',
  'a number': 0.1,
  null: null,
  'a list': [[], [[1, [2.5, [null, true]]]], 'x', { a: [{ b: [] }] }],
  'an object': {
    '?': 1,
    $1: ':name',
    'a "b" \\': { createdAt: '2026-11-30', snake_case: [1], camelCase: { snake_case: 1 } },
    numbers: [5e-324, 1e15, -1.5, Number.MAX_SAFE_INTEGER, 0],
    empty: '',
  },
};

export function describeEntries(fixture: SendingFixture): void {
  for (const settings of ['usual', 'unusual'] as const)
    describe(`with ${settings} settings`, () => describeSettings(fixture, settings));
}

function describeSettings(fixture: SendingFixture, settings: Settings): void {
  let library: Library;
  before(async () => (library = await fixture.row.open(fixture.database.url, settings)));
  after(() => library.end());

  for (const [what, payload] of Object.entries(PAYLOADS)) {
    it(`keeps ${what}, and returns the entry that is stored`, async () => {
      const id = `${what}, ${settings}`;
      let accepted: unknown;
      await library.transaction(async (tx) => {
        accepted = (await fixture.send(tx, id, payload)).entry;
      });
      const stored = await fixture.inbox.status(id);
      assert.deepEqual(stored?.payload, payload);
      assert.deepEqual(accepted, stored);
      await library.transaction(async (tx) => {
        const { answer, entry } = await fixture.send(tx, id, payload);
        assert.equal(answer, 'duplicate');
        assert.deepEqual(entry, stored);
      });
    });
  }

  it('runs statements whose placeholders are in any order and repeated, and that contain question marks', async () => {
    await library.transaction(async ({ client }) => {
      const statement = `select $2::text || '? ' || $1::text || ' ?? ' || $2::text as answer`;
      const { rows } = await client.query(statement, ['one $2', 'two ?']);
      assert.deepEqual(
        rows.map((row) => Object.values(row as object)),
        [['two ?? one $2 ?? two ?']],
      );
    });
  });

  it('returns the dates and results of duplicates', async () => {
    const messages = ['completed', 'failed', 'pruned'].map((what) => reserveStock(`${what}, ${settings}`));
    await fixture.inbox.send(messages);
    const outcomes = [
      `status = 'Completed', processed_at = clock_timestamp(), result = '{"a": [1.50, "é"]}'`,
      `status = 'Failed', next_retry_at = clock_timestamp() + '1 hour', error = 'E', retry_count = 1`,
      `status = 'Completed', processed_at = now(), pruned_at = now(), payload = null, metadata = '{}'`,
    ];
    for (const [index, outcome] of outcomes.entries()) await settle(messages[index]!.messageId, outcome);
    await library.transaction(async ({ client }) => {
      // The session's format of dates must not matter.
      await client.query(`set local timezone = 'Asia/Kathmandu'`, []);
      await client.query(`set local datestyle = 'SQL, DMY'`, []);
      const sent = await fixture.inbox.send(messages, { tx: client });
      for (const { answer, entry } of sent) {
        assert.equal(answer, 'duplicate');
        assert.deepEqual(entry, await fixture.inbox.status(entry.messageId));
      }
      const [completed, failed, pruned] = sent.map(({ entry }) => entry);
      assert.deepEqual(completed?.result, { a: [1.5, 'é'] });
      for (const date of [completed?.processedAt, failed?.nextRetryAt, pruned?.prunedAt, pruned?.receivedAt])
        assert.ok(date instanceof Date && Number.isFinite(date.getTime()));
    });
  });

  async function settle(messageId: string, outcome: string): Promise<void> {
    await fixture.database.pool.query(
      `update inbox.entries set attempt = 1, claimed_at = now(), ${outcome} where message_id = $1`,
      [messageId],
    );
  }
}
