import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  decimal,
  parseAge,
  parseUuid,
  parseWhen,
  wholeNumber,
} from '../../../src/cli/shared/option-values.ts';

describe('option values', () => {
  for (const [text, iso] of [
    ['2026-03-01', '2026-03-01T00:00:00.000Z'],
    ['2026-03-01T09:30', '2026-03-01T09:30:00.000Z'],
    ['2026-03-01 09:30', '2026-03-01T09:30:00.000Z'],
    ['2026-03-01T09:30:15.250Z', '2026-03-01T09:30:15.250Z'],
    ['2026-03-01t09:30z', '2026-03-01T09:30:00.000Z'],
    ['2026-03-01T09:30+02:00', '2026-03-01T07:30:00.000Z'],
    ['2026-03-01T09:30:00 +0200', '2026-03-01T07:30:00.000Z'],
    ['2024-02-29', '2024-02-29T00:00:00.000Z'],
    // The format that Postgres prints.
    ['2026-03-01T09:30:15.250123Z', '2026-03-01T09:30:15.250Z'],
  ] as const) {
    it(`accepts the time ${text}`, () => assert.equal(parseWhen(text).toISOString(), iso));
  }

  for (const [text, ms] of [
    ['2h', 7_200_000],
    ['1.5h', 5_400_000],
    ['7d', 604_800_000],
    ['90 min', 5_400_000],
  ] as const) {
    it(`reads ${text} as a time that long ago`, () => {
      const before = Date.now();
      const when = parseWhen(text).getTime();
      assert.ok(when >= before - ms && when <= Date.now() - ms, `${when - before}`);
    });
  }

  for (const text of [
    'yesterday',
    '',
    '17',
    '1767225600',
    '2026',
    '2026-13-01',
    '2026-02-30',
    '2026-02-29',
    '2026-03-01T25:00',
    '2026-03-01T09',
    'Mar 1 2026',
    '2 fortnights',
    '-2h',
    '300000y',
    '2026-03-01T09:30 CET',
  ]) {
    it(`refuses the time ${JSON.stringify(text)}`, () =>
      assert.throws(() => parseWhen(text), /Give a time such as/));
  }

  it('accepts ages only with a unit', () => {
    assert.equal(parseAge('30d'), 2_592_000_000);
    for (const text of ['30', '-1d', 'soon', '', '1e3']) assert.throws(() => parseAge(text), /with a unit/);
  });

  it('accepts only numbers within their limits', () => {
    assert.equal(wholeNumber(1, 10)('10'), 10);
    for (const text of ['0', '11', '1.5', '1e1', ' ', '', 'x', '0x5', '-1', '٣']) {
      assert.throws(() => wholeNumber(1, 10)(text), /from 1 to 10/);
    }
    assert.equal(decimal(0, 1)('.5'), 0.5);
    for (const text of ['1.1', '-0.1', '', 'x', 'NaN', 'Infinity', '1e-1']) {
      assert.throws(() => decimal(0, 1)(text), /from 0 to 1/);
    }
    assert.throws(() => parseUuid('17'), /UUID/);
  });
});
