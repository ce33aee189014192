import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  backoffDelayMs,
  DEFAULT_RETRY_POLICY,
  isExhausted,
  retryDelayMs,
} from '../../../src/core/retry-policy.ts';
import type { RetryPolicy } from '../../../src/core/retry-policy.ts';
import { fc } from '../../support/random.ts';

const policies = fc.record<RetryPolicy>({
  maximumAttempts: fc.integer({ min: 1, max: 10_000 }),
  initialIntervalMs: fc.integer({ min: 1, max: 100_000 }),
  backoffCoefficient: fc.double({ min: 1, max: 100, noNaN: true }),
  maximumIntervalMs: fc.integer({ min: 100_000, max: 2_592_000_000 }),
});

describe('retry delays', () => {
  it('grow exponentially up to the maximum', () => {
    const policy: RetryPolicy = {
      maximumAttempts: 5,
      initialIntervalMs: 1_000,
      backoffCoefficient: 2,
      maximumIntervalMs: 60_000,
    };
    const delays = [1, 2, 3, 4, 5, 6, 7, 8].map((failed) => backoffDelayMs(policy, failed));
    assert.deepEqual(delays, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  });

  it('are constant with a coefficient of 1', () => {
    const policy = { ...DEFAULT_RETRY_POLICY, backoffCoefficient: 1 };
    assert.equal(backoffDelayMs(policy, 1), backoffDelayMs(policy, 9));
  });

  it('are whole milliseconds, never decrease and never exceed the maximum', () => {
    fc.assert(
      fc.property(policies, fc.integer({ min: 1, max: 10_000 }), (policy, failed) => {
        const [delay, next] = [backoffDelayMs(policy, failed), backoffDelayMs(policy, failed + 1)];
        assert.ok(Number.isSafeInteger(delay));
        assert.ok(delay >= policy.initialIntervalMs && delay <= policy.maximumIntervalMs);
        assert.ok(next >= delay);
      }),
    );
  });

  it('are spread over the last quarter of the delay', () => {
    const delays = [0, 0.5, 1].map((random) => retryDelayMs(DEFAULT_RETRY_POLICY, 3, () => random));
    assert.deepEqual(delays, [4_000, 3_500, 3_000]);
    const many = Array.from({ length: 40 }, () => retryDelayMs(DEFAULT_RETRY_POLICY, 9));
    assert.ok(new Set(many).size > 30);
    assert.ok(many.every((delay) => delay >= 192_000 && delay <= 256_000));
  });

  it('end with the last attempt of the policy', () => {
    const policy = { ...DEFAULT_RETRY_POLICY, maximumAttempts: 3 };
    assert.deepEqual(
      [1, 2, 3, 4].map((failed) => isExhausted(policy, failed)),
      [false, false, true, true],
    );
    assert.equal(isExhausted({ ...policy, maximumAttempts: 1 }, 1), true);
  });
});
