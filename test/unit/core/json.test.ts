import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Json } from '../../../src/core/json.ts';
import { findJsonProblem, MAX_JSON_DEPTH } from '../../../src/core/json.ts';
import { fc } from '../../support/random.ts';

function nested(levels: number, wrap: (inner: unknown) => unknown): unknown {
  let value: unknown = 'core';
  for (let level = 0; level < levels; level += 1) value = wrap(value);
  return value;
}

class Money {
  readonly cents = 5;
}

const inArray = (inner: unknown) => [inner];
const inObject = (inner: unknown) => ({ inner });

describe('findJsonProblem with invalid values', () => {
  for (const [name, value, problem] of [
    ['NUL', 'a\u0000b', /NUL/],
    ['a lone high surrogate', 'a\ud83d', /lone surrogate/],
    ['a lone low surrogate', '\ude00a', /lone surrogate/],
    ['surrogates in the wrong order', '\ude00\ud83d', /lone surrogate/],
    ['NaN', Number.NaN, /is NaN/],
    ['Infinity', Number.POSITIVE_INFINITY, /is Infinity/],
    ['-Infinity', Number.NEGATIVE_INFINITY, /is -Infinity/],
    ['2^53', 2 ** 53, /beyond 2\^53/],
    ['-2^53', -(2 ** 53), /beyond 2\^53/],
    ['1e300', 1e300, /beyond 2\^53/],
    ['a BigInt', 1n, /a bigint/],
    ['undefined', undefined, /is undefined/],
    ['a function', () => 0, /a function/],
    ['a symbol', Symbol('s'), /a symbol/],
    ['a Date', new Date(), /is a Date/],
    ['a Map', new Map(), /is a Map/],
    ['a Set', new Set(), /is a Set/],
    ['a RegExp', /x/, /is a RegExp/],
    ['an Error', new Error('x'), /is a Error/],
    ['a Buffer', Buffer.from('x'), /is a Buffer/],
    ['a boxed string', Object('x'), /is a String/],
    ['an instance of a class', new Money(), /is a Money/],
    ['an instance that hides its class', Object.assign(new Map(), { constructor: null }), /is a Map/],
    ['an instance without a class', Object.create(Object.create(Object.create(null))), /class instance/],
    ['an object with toJSON', { toJSON: () => 1 }, /toJSON/],
    ['an array with a hidden toJSON', Object.defineProperty([], 'toJSON', { value: () => 1 }), /toJSON/],
  ] as const) {
    it(`refuses ${name} at the top level, in a list and in an object`, () => {
      assert.match(findJsonProblem(value, 'payload')?.problem ?? 'none', problem);
      const listed = findJsonProblem([1, value], 'payload');
      assert.match(listed?.problem ?? 'none', problem);
      assert.equal(listed?.path, 'payload[1]');
      if (value === undefined) return;
      const inside = findJsonProblem({ fine: 1, items: [{ value }] }, 'payload');
      assert.match(inside?.problem ?? 'none', problem);
      assert.equal(inside?.path, 'payload.items[0].value');
    });
  }

  it('refuses NUL and lone surrogates in keys', () => {
    assert.match(findJsonProblem({ 'a\u0000': 1 }, 'payload')!.problem, /NUL/);
    assert.match(findJsonProblem({ deep: { '\ud800': 1 } }, 'payload')!.problem, /lone surrogate/);
  });

  it('refuses a hole in a list, which would become null', () => {
    // oxlint-disable-next-line no-sparse-arrays -- the test needs a hole
    const holed = [1, , 3];
    assert.deepEqual(findJsonProblem(holed, 'payload'), {
      path: 'payload[1]',
      problem: 'is undefined, which JSON cannot hold',
    });
    assert.ok(findJsonProblem(Array.from({ length: 3 }), 'payload'));
  });

  it('refuses cycles through objects and lists', () => {
    const self: Record<string, unknown> = {};
    self['self'] = self;
    assert.match(findJsonProblem(self, 'payload')!.problem, /refers to itself/);
    const list: unknown[] = [];
    list.push({ list });
    assert.equal(findJsonProblem(list, 'payload')!.path, 'payload[0].list');
  });

  for (const [name, wrap] of [
    ['lists', inArray],
    ['objects', inObject],
  ] as const) {
    it(`refuses ${name} nested deeper than ${MAX_JSON_DEPTH} levels, even 10,000 levels deep`, () => {
      assert.equal(findJsonProblem(nested(MAX_JSON_DEPTH, wrap), 'payload'), null);
      assert.match(findJsonProblem(nested(MAX_JSON_DEPTH + 1, wrap), 'payload')!.problem, /nested deeper/);
      assert.match(findJsonProblem(nested(10_000, wrap), 'payload')!.problem, /nested deeper/);
    });
  }
});

describe('findJsonProblem with valid values', () => {
  for (const [name, value] of [
    ['null', null],
    ['empty text', ''],
    ['emoji and right-to-left', '😀 שלום'],
    ['control characters other than NUL', '\u0001\u001f\u007f\n'],
    ['the largest integers', [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]],
    ['fractions', [0.1, -1.5e-300, Number.MIN_VALUE]],
    ['empty containers', [{}, []]],
    ['an object without prototype', Object.assign(Object.create(null), { a: 1 })],
    ['an undefined property, which JSON omits', { a: undefined }],
    ['keys with special names', { '': 1, constructor: 2, hasOwnProperty: 3, toString: 4, length: 5 }],
  ] as const) {
    it(`accepts ${name}`, () => assert.equal(findJsonProblem(value, 'payload'), null));
  }

  it('accepts the same object in two places', () => {
    const shared = { a: [1] };
    assert.equal(findJsonProblem({ one: shared, two: [shared, shared, shared.a] }, 'payload'), null);
  });

  it('accepts a key named __proto__, which is checked like any other and pollutes nothing', () => {
    const value: unknown = JSON.parse('{"__proto__": {"polluted": 1}}');
    assert.equal(findJsonProblem(value, 'payload'), null);
    assert.equal(JSON.stringify(value), '{"__proto__":{"polluted":1}}');
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
    const bad: unknown = JSON.parse('{"__proto__": {"text": "\\u0000"}}');
    assert.equal(findJsonProblem(bad, 'payload')!.path, 'payload.__proto__.text');
  });

  it('accepts only values that JSON preserves', () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true }),
        (value) => {
          fc.pre(findJsonProblem(value, 'payload') === null);
          const text = JSON.stringify(value);
          assert.equal(JSON.stringify(JSON.parse(text) as Json), text);
        },
      ),
    );
  });
});
