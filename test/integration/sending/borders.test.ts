/**
 * Postgres and TypeScript must agree on which messages are valid: a message that one of them accepts must not be refused
 * later by the other.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { violatedCheck } from '../../../src/platform/postgres.ts';
import { checkMessageId } from '../../../src/commands/message-validation.ts';
import { InvalidMessageError } from '../../../src/core/errors.ts';
import { findJsonProblem } from '../../../src/core/json.ts';
import { findEntry, hasFingerprint, insertAndClaimEntry } from '../../../src/store/entries.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { fc } from '../../support/random.ts';

/** Characters at the limits of the rules: controls, every kind of space, and one to four bytes of UTF-8. */
const edges = fc.constantFrom(
  ...Array.from(
    '\u0001\t\n\u001f \u007f\u0080\u0085\u009f\u00a0\u1680\u2003\u2028\u202f\u205f\u3000\ufeff\u200baé€😀%/',
  ),
);
const ids = fc.oneof(
  fc.string({ unit: edges, maxLength: 4 }),
  fc.string({ unit: edges, minLength: 45, maxLength: 210 }),
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 70 }),
);

function isMessageId(id: string): boolean {
  try {
    return checkMessageId(id) === id;
  } catch (error) {
    assert.ok(error instanceof InvalidMessageError);
    return false;
  }
}

describe('the message rules in Postgres and TypeScript', () => {
  let database: TestDatabase;

  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.drop());

  async function insert(messageId: string, payload: unknown = null): Promise<void> {
    await database.pool.query(
      `insert into inbox.entries (message_id, command_type, payload, fingerprint)
       values ($1, 'Pay', $2, inbox.fingerprint('Pay', $2)) on conflict do nothing`,
      [messageId, JSON.stringify(payload)],
    );
  }

  const isAcceptedByPostgres = (id: string) =>
    insert(id).then(
      () => true,
      (error: unknown) => {
        assert.equal(violatedCheck(error), 'message_id_is_usable', String(error));
        return false;
      },
    );

  it('accept the same ids', async () => {
    await fc.assert(
      // NUL cannot be sent to Postgres at all, and a lone surrogate would be sent as another character.
      fc.asyncProperty(
        ids.filter((id) => !id.includes('\u0000') && id.isWellFormed()),
        async (id) => assert.equal(isMessageId(id), await isAcceptedByPostgres(id), JSON.stringify(id)),
      ),
      { numRuns: 1_000 },
    );
  });

  it('distinguish ids that only look alike', async () => {
    // With a prefix that the random ids above cannot have.
    for (const [one, other] of [
      ['alike: caf\u00e9', 'alike: cafe\u0301'],
      ['alike: A-1', 'alike: a-1'],
      ['alike: b', 'alike: b '],
      ['alike: c', 'alike: \u0441'],
    ] as const) {
      await insert(one, 1);
      await insert(other, 2);
      assert.equal((await findEntry(database.pool, one))?.payload, 1);
      assert.equal((await findEntry(database.pool, other))?.payload, 2);
    }
  });

  it('keep every accepted payload unchanged', async () => {
    let number = 0;
    await fc.assert(
      fc.asyncProperty(
        fc
          .jsonValue({ stringUnit: 'binary', maxDepth: 5 })
          .filter((value) => !findJsonProblem(value, 'payload')),
        async (value) => {
          number += 1;
          const entry = {
            messageId: `payload-${number}`,
            commandType: 'Pay',
            payload: value as never,
            correlationId: null,
            causationId: null,
            metadata: { value } as never,
          };
          await insertAndClaimEntry(database.pool, entry);
          const stored = await findEntry(database.pool, entry.messageId);
          // JSON has no -0.
          const sent: unknown = JSON.parse(JSON.stringify(value));
          assert.deepEqual(stored?.payload, sent);
          assert.deepEqual(stored?.metadata, { value: sent });
          assert.ok(await hasFingerprint(database.pool, entry), 'a repeat is a duplicate');
        },
      ),
      { numRuns: 300 },
    );
  });

  it('accept nothing that Postgres refuses as jsonb', async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue({ stringUnit: 'binary' }), async (value) => {
        fc.pre(findJsonProblem(value, 'payload') === null);
        await database.pool.query('select $1::jsonb', [JSON.stringify(value)]);
      }),
    );
    // And the other way round: the refused values are really invalid for Postgres.
    for (const value of ['\u0000', { '\u0000': 1 }, '\ud800']) {
      assert.ok(findJsonProblem(value, 'payload'));
      await assert.rejects(database.pool.query('select $1::jsonb', [JSON.stringify(value)]));
    }
  });

  it('recognize a repeat by its content, whatever the order of keys and the notation of numbers', async () => {
    await database.pool.query(
      `insert into inbox.entries (message_id, command_type, payload, fingerprint)
       values ('spelling', 'Pay', $1, inbox.fingerprint('Pay', $1))`,
      ['{"b": 1.0, "a": {"y": 1e2, "x": null}}'],
    );
    const repeat = (payload: unknown, commandType = 'Pay') =>
      hasFingerprint(database.pool, { messageId: 'spelling', commandType, payload: payload as never });
    assert.equal(await repeat({ a: { x: null, y: 100 }, b: 1 }), true);
    assert.equal(await repeat({ a: { x: null, y: 100 }, b: 2 }), false);
    assert.equal(await repeat({ a: { y: 100 }, b: 1 }), false);
    assert.equal(await repeat({ a: { x: null, y: 100 }, b: 1 }, 'pay'), false);
  });

  async function same(one: string, other: string): Promise<boolean> {
    const { rows } = await database.pool.query<{ same: boolean }>(
      "select inbox.fingerprint('Pay', $1) = inbox.fingerprint('Pay', $2) as same",
      [one, other],
    );
    return rows[0]!.same;
  }

  it('give a number the same fingerprint with and without trailing zeros, but keep text distinct', async () => {
    for (const [one, other] of [
      ['1.50', '1.5'],
      ['1.0', '1'],
      ['[-3.000, 0.050]', '[-3, 0.05]'],
      ['{"a": {"b": [10.10]}}', '{"a":{"b":[10.1]}}'],
      ['[1.0, "1.0", 2.0]', '[1, "1.0", 2]'],
      ['0.0', '-0'],
    ] as const) {
      assert.equal(await same(one, other), true, `${one} and ${other}`);
    }
    for (const [one, other] of [
      ['"1.0"', '"1"'],
      ['"1.50 \\" 2.0"', '"1.5 \\" 2"'],
      ['{"k1.0": 1}', '{"k1": 1}'],
      ['["\\\\", 1.05]', '["\\\\", 1.5]'],
      ['10', '1'],
      ['1.05', '1.5'],
      ['[1, 0]', '[10]'],
    ] as const) {
      assert.equal(await same(one, other), false, `${one} and ${other}`);
    }
  });
});
