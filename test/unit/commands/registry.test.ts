import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import type { CommandDefinition } from '../../../src/commands/define-command.ts';
import { InvalidCommandError } from '../../../src/core/errors.ts';
import { createRegistry, isCommandDefinition } from '../../../src/commands/registry.ts';
import { toMilliseconds } from '../../../src/core/duration.ts';
import { DEFAULT_RETRY_POLICY } from '../../../src/core/retry-policy.ts';

const pay = defineCommand({ type: 'Pay', schema: z.object({}), handle: () => null });

/** The command with these settings, as the registry resolves it. */
function registered(settings: object) {
  const command = { ...pay, ...settings } as CommandDefinition;
  return createRegistry([command]).get(command.type)!;
}

describe('the registry', () => {
  it('resolves defaults', () => {
    const { type, retry, timeoutMs, longRunning } = registered({});
    assert.equal(type, 'Pay');
    assert.deepEqual(retry, DEFAULT_RETRY_POLICY);
    assert.equal(timeoutMs, 10_000);
    assert.equal(longRunning, false);
    assert.equal(registered({ longRunning: true }).timeoutMs, 3_600_000);
  });

  it('resolves explicit settings', () => {
    const { retry, timeoutMs } = registered({
      timeout: '30s',
      retry: {
        maximumAttempts: 5,
        initialInterval: 250,
        backoffCoefficient: 1.5,
        maximumInterval: '1 minute',
      },
    });
    assert.equal(timeoutMs, 30_000);
    assert.deepEqual(retry, {
      maximumAttempts: 5,
      initialIntervalMs: 250,
      backoffCoefficient: 1.5,
      maximumIntervalMs: 60_000,
    });
  });

  it('adapts the default of one interval to the other interval', () => {
    assert.equal(registered({ retry: { maximumInterval: 100 } }).retry.initialIntervalMs, 100);
    assert.equal(registered({ retry: { initialInterval: '1h' } }).retry.maximumIntervalMs, 3_600_000);
  });

  it('accepts the limits of each setting', () => {
    assert.equal(registered({ timeout: 1 }).timeoutMs, 1);
    assert.equal(registered({ timeout: '1m' }).timeoutMs, 60_000);
    assert.equal(registered({ timeout: '24 days', longRunning: true }).timeoutMs, 2_073_600_000);
    assert.equal(registered({ retry: { maximumAttempts: 1 } }).retry.maximumAttempts, 1);
    assert.equal(registered({ type: 'x'.repeat(200) }).type.length, 200);
  });

  for (const [settings, message] of [
    [{ type: '' }, /type: is empty/],
    [{ type: 'x'.repeat(201) }, /type: is longer than 200/],
    [{ type: 'Pay\n' }, /type: has a control character/],
    [{ type: 'Pay\ud800' }, /type: has a control character/],
    [{ type: 7 }, /needs type, schema and handle/],
    [{ schema: undefined }, /needs type, schema and handle/],
    [{ schema: { parse: () => 1 } }, /needs type, schema and handle/],
    [{ handle: 'later' }, /needs type, schema and handle/],
    [{ timeout: 0 }, /timeout: 0 is not a duration/],
    [{ timeout: -1 }, /timeout: -1 is not a duration/],
    [{ timeout: Number.NaN }, /timeout: must be a number of milliseconds or text/],
    [{ timeout: Number.POSITIVE_INFINITY }, /timeout: must be a number of milliseconds or text/],
    [{ timeout: 'soon' }, /timeout: "soon" is not a duration/],
    [{ timeout: '' }, /timeout: "" is not a duration/],
    [{ timeout: null }, /timeout: must be a number of milliseconds or text/],
    [{ timeout: 60_001 }, /timeout: more than 60 s requires longRunning/],
    [{ timeout: '31 days', longRunning: true }, /timeout: "31 days" is not a duration/],
    [{ longRunning: 'yes' }, /longRunning: must be true or false/],
    [{ retry: null }, /retry: /],
    [{ retry: 5 }, /retry: /],
    [{ retry: { maxAttempts: 5 } }, /retry: .*maxAttempts/],
    [{ retry: { maximumAttempts: 0 } }, /retry\.maximumAttempts: must be at least 1/],
    [{ retry: { maximumAttempts: -1 } }, /retry\.maximumAttempts: must be at least 1/],
    [{ retry: { maximumAttempts: 1.5 } }, /retry\.maximumAttempts: must be a whole number/],
    [{ retry: { maximumAttempts: Number.POSITIVE_INFINITY } }, /retry\.maximumAttempts: /],
    [{ retry: { maximumAttempts: Number.NaN } }, /retry\.maximumAttempts: /],
    [{ retry: { maximumAttempts: '5' } }, /retry\.maximumAttempts: must be a whole number/],
    [{ retry: { maximumAttempts: 10_001 } }, /retry\.maximumAttempts: must be at most 10000/],
    [{ retry: { initialInterval: 0 } }, /retry\.initialInterval: 0 is not a duration/],
    [{ retry: { initialInterval: '1 fortnight' } }, /retry\.initialInterval: "1 fortnight"/],
    [{ retry: { backoffCoefficient: 0.5 } }, /retry\.backoffCoefficient: must be at least 1/],
    [{ retry: { backoffCoefficient: 101 } }, /retry\.backoffCoefficient: must be at most 100/],
    [{ retry: { backoffCoefficient: Number.NaN } }, /retry\.backoffCoefficient: must be a number/],
    [{ retry: { maximumInterval: -5 } }, /retry\.maximumInterval: -5 is not a duration/],
    [
      { retry: { initialInterval: '2m', maximumInterval: '1m' } },
      /retry\.maximumInterval \(60000 ms\) is below initialInterval \(120000 ms\)/,
    ],
  ] as const) {
    it(`refuses ${JSON.stringify(settings).slice(0, 60)} and names the setting`, () => {
      assert.throws(
        () => registered(settings),
        (error) => error instanceof InvalidCommandError && message.test(error.message),
      );
    });
  }

  it('refuses a type that is declared twice, and values that are not commands', () => {
    assert.throws(() => createRegistry([pay, { ...pay }]), /command "Pay": is declared twice/);
    for (const nothing of [undefined, null, 'Pay', {}]) {
      assert.throws(() => createRegistry([nothing as never]), InvalidCommandError);
    }
  });

  it('distinguishes commands from other exports of a module', () => {
    assert.equal(isCommandDefinition(pay), true);
    for (const other of [undefined, null, 1, 'x', () => 1, {}, pay.schema, { ...pay, handle: undefined }]) {
      assert.equal(isCommandDefinition(other), false);
    }
  });
});

describe('toMilliseconds', () => {
  for (const [value, ms] of [
    [0, 0],
    [1.4, 1],
    ['250ms', 250],
    ['10s', 10_000],
    ['5 minutes', 300_000],
    ['1.5h', 5_400_000],
    ['17', 17],
    ['', null],
    ['later', null],
    [Number.NaN, null],
    [Number.POSITIVE_INFINITY, null],
    [undefined as never, null],
    [{} as never, null],
  ] as const) {
    it(`converts ${JSON.stringify(value)} to ${ms}`, () => assert.equal(toMilliseconds(value), ms));
  }
});
