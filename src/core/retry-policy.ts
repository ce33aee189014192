/**
 * Decides when transient failures are retried.
 *
 * @module
 */
import type { Duration } from './duration.ts';

export interface RetryOptions {
  /** Number of attempts, including the first, before the command becomes a dead letter. Default 10. */
  maximumAttempts?: number;
  /** Delay after the first failure, minus up to a quarter at random. Default 1 s. */
  initialInterval?: Duration;
  /** Factor by which each further delay is longer than the previous one. Default 2. */
  backoffCoefficient?: number;
  /** Upper limit of the delay. Default 5 minutes. */
  maximumInterval?: Duration;
}

/** A retry policy with every field resolved; intervals in milliseconds. */
export interface RetryPolicy {
  maximumAttempts: number;
  initialIntervalMs: number;
  backoffCoefficient: number;
  maximumIntervalMs: number;
}

export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  maximumAttempts: 10,
  initialIntervalMs: 1_000,
  backoffCoefficient: 2,
  maximumIntervalMs: 300_000,
};

/**
 * Milliseconds to wait after the given number of failed attempts (1 or more). This is the formula that Temporal uses.
 *
 * Source: https://docs.temporal.io/encyclopedia/retry-policies
 */
export function backoffDelayMs(policy: RetryPolicy, failedAttempts: number): number {
  const delay = policy.initialIntervalMs * policy.backoffCoefficient ** (failedAttempts - 1);
  return Math.round(Math.min(delay, policy.maximumIntervalMs));
}

/**
 * Milliseconds to wait after the given number of failures (1 or more): the first delay, doubled with each failure, and at
 * most the longest one.
 */
export function doublingDelayMs(firstMs: number, longestMs: number, failures: number): number {
  const policy = { maximumAttempts: Infinity, initialIntervalMs: firstMs, backoffCoefficient: 2 };
  return backoffDelayMs({ ...policy, maximumIntervalMs: longestMs }, failures);
}

/** A delay is shortened by up to this share. */
const JITTER = 0.25;

/**
 * Milliseconds until a command's next attempt: {@link backoffDelayMs}, shortened by up to a quarter at random. Thousands of
 * commands that failed together are then not retried together. The row and Temporal get the same result.
 *
 * @param random - returns a number from 0 to below 1, like `Math.random`
 */
export function retryDelayMs(
  policy: RetryPolicy,
  failedAttempts: number,
  random: () => number = Math.random,
): number {
  return Math.round(backoffDelayMs(policy, failedAttempts) * (1 - JITTER * random()));
}

/** Returns true if the given number of failed attempts exhausts the policy. */
export function isExhausted(policy: RetryPolicy, failedAttempts: number): boolean {
  return failedAttempts >= policy.maximumAttempts;
}
