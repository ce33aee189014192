import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseJson } from '../../../src/cli/shared/lines.ts';
import { InvalidMessageError } from '../../../src/core/errors.ts';
import { findInexactNumber } from '../../../src/core/json-text.ts';
import { doubles } from '../../support/json-texts.ts';
import { fc } from '../../support/random.ts';

describe('findInexactNumber', () => {
  for (const text of [
    '1e400',
    '-1e400',
    '1e-400',
    '{"a":[1,{"b":0.12345678901234567891}]}',
    '[9007199254740993]',
    '12345678901234567.5',
    '2.4703282292062327e-324',
    `1.${'0'.repeat(16_384)}`,
    '["\\"", 1e400]',
    '{"1":"2","\\\\":1e400}',
  ]) {
    it(`finds a number that JSON.parse would change: ${text.slice(0, 40)}`, () => {
      assert.match(findInexactNumber(text) ?? 'none', /^has the number /);
      assert.throws(() => parseJson('--payload', text), InvalidMessageError);
    });
  }

  for (const text of [
    '0',
    '-0',
    '-0.0e5',
    '1.0',
    '1.50',
    '1E+2',
    '5e-324',
    '0.1',
    '0.30000000000000004',
    '1e23',
    '9007199254740992',
    '1.7976931348623157e308',
    '"1e400"',
    '{"0.12345678901234567891":"\\"1e400"}',
    `1.${'0'.repeat(16_383)}`,
  ]) {
    it(`accepts ${text.slice(0, 40)}`, () => assert.equal(findInexactNumber(text), null));
  }

  it('accepts all numbers that JavaScript has written', () => {
    fc.assert(fc.property(fc.array(doubles), (values) => findInexactNumber(JSON.stringify(values)) === null));
  });

  it('reads a long text only once', () => {
    const zeros = `[0.${'0'.repeat(500_000)}1,"${'\\\\'.repeat(500_000)}",${'1,'.repeat(200_000)}1e5]`;
    const began = performance.now();
    assert.match(findInexactNumber(zeros)!, /has the number 0\.0000/);
    assert.ok(performance.now() - began < 30_000);
  });
});
