import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { Json } from '../../../src/core/json.ts';
import { payloadDifference } from '../../../src/operations/payload-diff.ts';
import { fc } from '../../support/random.ts';

const { assert: check, jsonValue, property } = fc;

describe('payloadDifference', () => {
  it('lists each changed path with the old and the new value', () => {
    assert.deepEqual(
      payloadDifference(
        { a: 1, b: { c: [1, 2, { d: 'x' }], gone: null }, same: [{}] },
        { a: 2, b: { c: [1, 3, { d: 'y' }, true] }, same: [{}], added: {} },
      ),
      [
        { path: 'a', from: 1, to: 2 },
        { path: 'b.c[1]', from: 2, to: 3 },
        { path: 'b.c[2].d', from: 'x', to: 'y' },
        { path: 'b.c[3]', to: true },
        { path: 'b.gone', from: null },
        { path: 'added', to: {} },
      ],
    );
    assert.deepEqual(payloadDifference([1], 'text'), [{ path: '', from: [1], to: 'text' }]);
    assert.deepEqual(payloadDifference({}, []), [{ path: '', from: {}, to: [] }]);
  });

  it('treats __proto__ as a key, and limits long keys, values and lists', () => {
    const proto = JSON.parse('{"__proto__": 1}') as Json;
    assert.deepEqual(payloadDifference({}, proto), [{ path: '__proto__', to: 1 }]);
    assert.deepEqual(payloadDifference({ a: 1 }, { a: 'x'.repeat(2_000) }), [
      { path: 'a', from: 1, to: '(2002 bytes)' },
    ]);
    const [change] = payloadDifference({}, { ['k'.repeat(100_000)]: 1 });
    assert.equal(Buffer.byteLength(change!.path), 300);
    const many = Array.from({ length: 1_000 }, (_, index) => index);
    assert.equal(payloadDifference([], many).length, 50);
  });

  it('is empty only for equal payloads', () => {
    check(
      property(jsonValue({ maxDepth: 3 }), jsonValue({ maxDepth: 3 }), (one, other) => {
        // Normalized as JSON from Postgres is: without -0.
        const [a, b] = [one, other].map((value) => JSON.parse(JSON.stringify(value)) as Json) as [Json, Json];
        assert.deepEqual(payloadDifference(a, a), []);
        assert.equal(payloadDifference(a, b).length === 0, isDeepStrictEqual(a, b));
      }),
    );
  });
});
