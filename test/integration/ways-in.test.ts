import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sqlState } from '../../src/database.ts';
import { DEFAULT_MAX_PAYLOAD_BYTES, parseEnvelope } from '../../src/envelope.ts';
import { InvalidMessageError } from '../../src/errors.ts';
import type { Json } from '../../src/json.ts';
import { sendMessages } from '../../src/send.ts';
import type { TestDatabase } from '../support/database.ts';
import { createTestDatabase, truncate } from '../support/database.ts';
import { fc } from '../support/random.ts';

/** Characters at the edges of the rules, among ordinary ones. */
const odd = fc.constantFrom(...Array.from('a/?#% \t\n\u0001\u007f\u0085\u00a0\u2003\ufeffé€😀ש'));
const text = (maxLength: number) =>
  fc.oneof(fc.string({ unit: odd, maxLength }), fc.string({ unit: 'grapheme', maxLength }));
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const numbers = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(2 ** 53, 2 ** 53 - 1, -(2 ** 53), 1.5, 0, -0, 1e300),
);
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    numbers,
    fc.boolean(),
    fc.constant(null),
    fc.string({ unit: 'grapheme', maxLength: 8 }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(
      fc.oneof(fc.string({ unit: 'grapheme', maxLength: 6 }), fc.constant('__proto__')),
      tie('value'),
      {
        maxKeys: 4,
      },
    ),
  ),
})).value;
const message = fc.record({
  messageId: fc.oneof(text(6), text(120)),
  type: fc.oneof(text(4), fc.constant('Pay'), fc.string({ minLength: 195, maxLength: 205 })),
  payload: json,
  correlationId: optional(fc.oneof(text(4), fc.string({ minLength: 250, maxLength: 260 }))),
  causationId: optional(text(4)),
});

describe('the ways in', () => {
  let database: TestDatabase;

  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.drop());

  type Message = {
    messageId: string;
    type: string;
    payload: unknown;
    correlationId: string | null;
    causationId: string | null;
  };

  /** As a Temporal client's argument is checked by the worker. */
  function takenAsEnvelope({ messageId, type, ...rest }: Message): boolean {
    try {
      parseEnvelope(messageId, { ...rest, commandType: type }, DEFAULT_MAX_PAYLOAD_BYTES);
      return true;
    } catch (error) {
      assert.ok(error instanceof InvalidMessageError, String(error));
      return false;
    }
  }

  async function sendInSql({
    messageId,
    type,
    payload,
    correlationId,
    causationId,
  }: Message): Promise<string> {
    try {
      const { rows } = await database.pool.query<{ send: string }>('select inbox.send($1, $2, $3, $4, $5)', [
        messageId,
        type,
        JSON.stringify(payload),
        correlationId,
        causationId,
      ]);
      return rows[0]!.send;
    } catch (error) {
      return sqlState(error) ?? String(error);
    }
  }

  async function sendInTypeScript(sent: Message): Promise<string> {
    const [answer] = await sendMessages(
      database.pool,
      [sent as Message & { payload: Json }],
      DEFAULT_MAX_PAYLOAD_BYTES,
    );
    return answer!.answer;
  }

  it('take and refuse the same, and know each other’s messages as duplicates', async () => {
    let taken = 0;
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(message, async (generated) => {
        await truncate(database.pool, 'inbox.entries');
        if (!takenAsEnvelope(generated)) {
          refused += 1;
          assert.equal(await sendInSql(generated), 'IB002');
          await assert.rejects(sendInTypeScript(generated), InvalidMessageError);
          return;
        }
        taken += 1;
        assert.equal(await sendInSql(generated), 'accepted');
        assert.equal(await sendInTypeScript(generated), 'duplicate');
        assert.equal(await sendInSql({ ...generated, payload: [generated.payload] }), 'IB001');
      }),
      { numRuns: 300 },
    );
    assert.ok(taken > 20 && refused > 20, `both must come up: ${taken} taken, ${refused} refused`);
  });
});
