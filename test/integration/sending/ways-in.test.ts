import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sqlState } from '../../../src/platform/postgres.ts';
import { DEFAULT_MAX_PAYLOAD_BYTES, parseEnvelope } from '../../../src/commands/message-validation.ts';
import { InvalidMessageError } from '../../../src/core/errors.ts';
import { findInexactNumber } from '../../../src/core/json-text.ts';
import type { Json } from '../../../src/core/json.ts';
import { findJsonProblem, storedBytes } from '../../../src/core/json.ts';
import { sendMessages } from '../../../src/sending/accept-messages.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { jsonTexts, numberTexts } from '../../support/json-texts.ts';
import { fc } from '../../support/random.ts';

/** Characters at the limits of the rules, mixed with ordinary ones. */
const unusual = fc.constantFrom(
  ...Array.from('a/?#% \t\n\u0001\u007f\u0085\u00a0\u2003\ufeffé€😀ש\u2028\u200b\u{1d7d8}'),
);
const text = (maxLength: number) =>
  fc.oneof(fc.string({ unit: unusual, maxLength }), fc.string({ unit: 'grapheme', maxLength }));
/** Text with a length near the limit, in characters that JavaScript counts as one or two. */
const around = (limit: number) =>
  fc.string({ unit: fc.constantFrom('a', 'é', '😀'), minLength: limit - 2, maxLength: limit + 2 });
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const message = fc.record({
  messageId: fc.oneof(text(6), text(120), around(100), around(50)),
  type: fc.oneof(text(4), fc.constant('Pay'), around(200)),
  payload: fc.jsonValue(),
  correlationId: optional(fc.oneof(text(4), around(255))),
  causationId: optional(fc.oneof(text(4), around(255))),
});

type Message = {
  messageId: string;
  type: string;
  payload: unknown;
  correlationId: string | null;
  causationId: string | null;
};

/** Checks a message as a worker checks a Temporal client's argument. */
function acceptedAsEnvelope({ messageId, type, ...rest }: Message): boolean {
  try {
    parseEnvelope(messageId, { ...rest, commandType: type }, DEFAULT_MAX_PAYLOAD_BYTES);
    return true;
  } catch (error) {
    assert.ok(error instanceof InvalidMessageError, String(error));
    return false;
  }
}

describe('the ways in', () => {
  let database: TestDatabase;

  before(async () => {
    database = await createTestDatabase();
  });
  after(() => database.drop());

  /** The answer, or the SQLSTATE of the refusal. */
  async function sendInSql(
    { messageId, type, correlationId, causationId }: Omit<Message, 'payload'>,
    payload: string,
  ): Promise<string> {
    try {
      const { rows } = await database.pool.query<{ send: string }>('select inbox.send($1, $2, $3, $4, $5)', [
        messageId,
        type,
        payload,
        correlationId,
        causationId,
      ]);
      return rows[0]!.send;
    } catch (error) {
      return sqlState(error) ?? String(error);
    }
  }

  async function sendInTypeScript(sent: Message): Promise<string> {
    const [answer] = await sendMessages(database.pool, [sent], DEFAULT_MAX_PAYLOAD_BYTES);
    return answer!.answer;
  }

  it('accept the same ids and types, and recognize each other’s messages as duplicates', async () => {
    let accepted = 0;
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(message, async (generated) => {
        await database.pool.query('delete from inbox.entries');
        const payload = JSON.stringify(generated.payload);
        if (!acceptedAsEnvelope(generated)) {
          refused += 1;
          assert.equal(await sendInSql(generated, payload), 'IB002');
          await assert.rejects(sendInTypeScript(generated), InvalidMessageError);
          return;
        }
        accepted += 1;
        assert.equal(await sendInSql(generated, payload), 'accepted');
        assert.equal(await sendInTypeScript(generated), 'duplicate');
        assert.equal(await sendInSql(generated, `[${payload}]`), 'IB001');
      }),
      { numRuns: 500 },
    );
    assert.ok(accepted > 20 && refused > 20, `both must occur: ${accepted} accepted, ${refused} refused`);
  });

  /** Postgres's errors for text that it cannot convert to jsonb: NUL, lone surrogates, numbers out of range. */
  const NOT_JSONB = ['22P05', '22P02', '22003'];

  /** Postgres's verdict on a payload that is sent as text, and the value that a handler would get. */
  async function judgedBySql(payload: string) {
    try {
      const { rows } = await database.pool.query<{
        problem: string | null;
        fingerprint: string;
        payload: Json;
        bytes: number;
      }>(
        `select inbox.message_problem('m', 'T', $1::jsonb, $1::jsonb::text, null, null, '{}', '{}') as problem,
           $1::jsonb as payload, octet_length($1::jsonb::text) as bytes,
           encode(inbox.fingerprint('T', $1::jsonb), 'hex') as fingerprint`,
        [payload],
      );
      return rows[0]!.problem === null ? rows[0]! : null;
    } catch (error) {
      assert.ok(NOT_JSONB.includes(sqlState(error) ?? ''), String(error));
      return null;
    }
  }

  async function judgeText(payload: string): Promise<boolean> {
    const fromText = await judgedBySql(payload);
    const value: unknown = JSON.parse(payload);
    const exact = findInexactNumber(payload) === null;
    const problem = findJsonProblem(value, 'payload');
    assert.equal(fromText !== null, exact && problem === null, `${payload}: ${problem?.problem ?? ''}`);
    // Now send it as a JavaScript value, without the original text.
    if (problem) return false;
    const fromValue = await judgedBySql(JSON.stringify(value));
    assert.ok(fromValue, payload);
    assert.equal(storedBytes(value, 0), fromValue.bytes, payload);
    // Neither Postgres nor JSON.stringify has a negative zero.
    assert.deepEqual(fromValue.payload, JSON.parse(JSON.stringify(value)), payload);
    if (!fromText) return false;
    assert.equal(fromText.fingerprint, fromValue.fingerprint, payload);
    assert.deepEqual(fromText.payload, fromValue.payload, payload);
    return true;
  }

  for (const [name, texts, numRuns] of [
    ['numbers', numberTexts, 1_500],
    ['values', jsonTexts, 800],
  ] as const) {
    it(`accept the same ${name}, with the same fingerprint, size and payload`, async () => {
      let accepted = 0;
      await fc.assert(
        fc.asyncProperty(texts, async (payload) => {
          if (await judgeText(payload)) accepted += 1;
        }),
        { numRuns },
      );
      assert.ok(
        accepted > numRuns / 10 && accepted < numRuns * 0.9,
        `${accepted} of ${numRuns} were accepted`,
      );
    });
  }

  it('measure a payload as Postgres stores it', async () => {
    const bomb = Array.from({ length: 4_000 }, () => 5e-324);
    const sent = { messageId: 'bomb', type: 'T', payload: bomb, correlationId: null, causationId: null };
    assert.equal(await sendInSql(sent, JSON.stringify(bomb)), 'IB002');
    await assert.rejects(
      sendInTypeScript(sent),
      /payload is 1312000 bytes as Postgres stores it; the limit is 1048576/,
    );
    assert.equal(acceptedAsEnvelope(sent), false);
    // Exact to the byte: each item takes three bytes, including its comma and space.
    for (const [items, answer] of [
      [349_525, 'accepted'],
      [349_526, 'IB002'],
    ] as const) {
      const payload = Array.from({ length: items }, () => 1);
      const limited = { ...sent, messageId: `limit-${items}`, payload };
      assert.equal(await sendInSql(limited, JSON.stringify(payload)), answer);
      assert.equal(acceptedAsEnvelope(limited), answer === 'accepted');
    }
  });

  it('name the refused number and its location', async () => {
    for (const [payload, problem] of [
      [
        '{"items": [1, {"price": 0.12345678901234567891}]}',
        /payload\.items\[1\]\.price is 0\.12345678901234567891, which a double/,
      ],
      ['[9007199254740993]', /payload\[0\] is a number beyond 2\^53/],
    ] as const) {
      await assert.rejects(database.pool.query("select inbox.send('named', 'T', $1)", [payload]), problem);
    }
    assert.match(findInexactNumber('[0.12345678901234567891]')!, /0\.12345678901234567891, which a double/);
  });
});
