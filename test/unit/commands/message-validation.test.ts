import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  checkJson,
  checkMessageId,
  DEFAULT_MAX_PAYLOAD_BYTES,
  parseEnvelope,
} from '../../../src/commands/message-validation.ts';
import { InvalidMessageError } from '../../../src/core/errors.ts';

function refuses(work: () => unknown, field: string, problem: RegExp): void {
  assert.throws(work, (error) => {
    assert.ok(error instanceof InvalidMessageError, String(error));
    assert.equal(error.field, field);
    assert.match(error.problem, problem);
    assert.equal(error.message, `${error.field} ${error.problem}`);
    return true;
  });
}

/** Text whose JSON has this many bytes in UTF-8, including the quotes. */
const sized = (bytes: number) => 'é'.repeat((bytes - 2) / 2);

const parse = (input: unknown, messageId: unknown = 'm-1') =>
  parseEnvelope(messageId, input, DEFAULT_MAX_PAYLOAD_BYTES);

describe('message ids', () => {
  for (const id of [
    'a',
    'order-17',
    '../../etc/passwd',
    'a/b?c#d%20e',
    '__proto__',
    'constructor',
    '😀',
    'שלום',
    'مرحبا',
    ' inner and outer spaces ',
    "'; drop table inbox.entries; --",
    'x'.repeat(200),
    'é'.repeat(100),
    '😀'.repeat(50),
  ]) {
    it(`may be ${JSON.stringify(id).slice(0, 40)}`, () => assert.equal(checkMessageId(id), id));
  }

  for (const [name, id, problem] of [
    ['empty', '', /empty or blank/],
    ['blank', '   ', /empty or blank/],
    ['a tab', 'a\tb', /control character/],
    ['a line break', 'a\n', /control character/],
    ['NUL', 'a\u0000', /control character/],
    ['DEL', '\u007f', /control character/],
    ['a C1 control', 'a\u0085b', /control character/],
    ['a lone surrogate', 'a\ud800', /lone surrogate/],
    ['201 bytes', 'x'.repeat(201), /200 bytes/],
    ['201 bytes in 101 characters', `x${'é'.repeat(100)}`, /200 bytes/],
    ['a number', 17, /must be text/],
    ['undefined', undefined, /must be text/],
    ['null', null, /must be text/],
    ['a list', ['a'], /must be text/],
    ['a boxed string', Object('a'), /must be text/],
  ] as const) {
    it(`may not be ${name}`, () => refuses(() => checkMessageId(id), 'messageId', problem));
  }

  it('are compared byte by byte, neither trimmed nor normalized', () => {
    assert.equal(checkMessageId(' a '), ' a ');
    assert.equal(checkMessageId('e\u0301'), 'e\u0301');
  });
});

describe('envelopes', () => {
  it('become entries, with null and {} for omitted fields', () => {
    assert.deepEqual(parse({ commandType: 'Pay', payload: { cents: 5 } }), {
      messageId: 'm-1',
      commandType: 'Pay',
      payload: { cents: 5 },
      correlationId: null,
      causationId: null,
      metadata: {},
    });
    const whole = {
      commandType: 'Pay',
      payload: null,
      correlationId: 'c',
      causationId: 'd',
      metadata: { a: 1 },
    };
    assert.deepEqual(parse(whole), { messageId: 'm-1', ...whole });
  });

  it('accept null for optional fields', () => {
    const { correlationId, causationId, metadata } = parse({
      commandType: 'Pay',
      payload: 0,
      correlationId: null,
      causationId: null,
      metadata: null,
    });
    assert.deepEqual(
      { correlationId, causationId, metadata },
      { correlationId: null, causationId: null, metadata: {} },
    );
  });

  it('keep keys named __proto__ in payload and metadata', () => {
    const input: unknown = JSON.parse(
      '{"commandType":"Pay","payload":{"__proto__":{"a":1}},"metadata":{"__proto__":{"b":2}}}',
    );
    const { payload, metadata } = parse(input);
    assert.equal(JSON.stringify(payload), '{"__proto__":{"a":1}}');
    assert.equal(JSON.stringify(metadata), '{"__proto__":{"b":2}}');
  });

  for (const [name, input, field, problem] of [
    ['undefined', undefined, 'the argument', /missing/],
    ['null', null, 'the argument', /must be an object/],
    ['text', 'Pay', 'the argument', /must be an object/],
    ['a list', [], 'the argument', /must be an object/],
    ['no commandType', { payload: 1 }, 'commandType', /missing/],
    ['an empty commandType', { commandType: '', payload: 1 }, 'commandType', /empty/],
    ['a commandType that is not text', { commandType: 7, payload: 1 }, 'commandType', /must be text/],
    ['a control character', { commandType: 'Pay\n', payload: 1 }, 'commandType', /control character/],
    ['a lone surrogate', { commandType: 'Pay\ud800', payload: 1 }, 'commandType', /surrogate/],
    ['a long commandType', { commandType: 'x'.repeat(201), payload: 1 }, 'commandType', /200 characters/],
    ['no payload', { commandType: 'Pay' }, 'payload', /missing/],
    ['NUL in the payload', { commandType: 'Pay', payload: { a: ['\u0000'] } }, 'payload.a[0]', /NUL/],
    ['an empty correlationId', { commandType: 'P', payload: 1, correlationId: '' }, 'correlationId', /empty/],
    [
      'a long causationId',
      { commandType: 'P', payload: 1, causationId: 'x'.repeat(256) },
      'causationId',
      /255/,
    ],
    ['a correlationId of 5', { commandType: 'P', payload: 1, correlationId: 5 }, 'correlationId', /text/],
    ['metadata in a list', { commandType: 'P', payload: 1, metadata: [] }, 'metadata', /object/],
    ['metadata as text', { commandType: 'P', payload: 1, metadata: 'x' }, 'metadata', /object/],
    [
      'a Date in metadata',
      { commandType: 'P', payload: 1, metadata: { at: new Date() } },
      'metadata.at',
      /Date/,
    ],
  ] as const) {
    it(`are refused with this problem: ${name}`, () => refuses(() => parse(input), field, problem));
  }

  it('are refused for an invalid id before anything else', () => {
    refuses(() => parse(null, ''), 'messageId', /empty/);
  });
});

describe('size limits', () => {
  it('accept a payload of exactly the limit, and not a byte more', () => {
    assert.ok(parseEnvelope('m', { commandType: 'P', payload: sized(1_000) }, 1_000));
    refuses(
      () => parseEnvelope('m', { commandType: 'P', payload: `${sized(1_000)}x` }, 1_000),
      'payload',
      /is 1001 bytes as Postgres stores it; the limit is 1000/,
    );
  });

  it('are 64 KiB for metadata', () => {
    const metadata = { text: 'x'.repeat(65_536) };
    refuses(() => parse({ commandType: 'P', payload: 1, metadata }), 'metadata', /the limit is 65536/);
  });

  it('count the escapes in JSON', () => {
    assert.equal(checkJson('\u0001', 'result', 8), '\u0001');
    refuses(() => checkJson('\u0001', 'result', 7), 'result', /is 8 bytes/);
  });

  it('keep error messages short and valid for Temporal, whatever the name of the field', () => {
    for (const key of ['k'.repeat(900_000), 'a\ud800', 'a\u0000', `${'k'.repeat(290)}😀`]) {
      assert.throws(
        () => parse({ commandType: 'P', payload: { [key]: Number.NaN } }),
        ({ message }: InvalidMessageError) =>
          message.length < 1_000 && message.isWellFormed() && !message.includes('\u0000'),
      );
    }
  });
});
