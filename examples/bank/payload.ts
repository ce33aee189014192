/**
 * What the bank's commands have in common.
 *
 * @module
 */
import { z } from 'zod';
import type { RetryOptions } from '../../src/core/retry-policy.ts';

export const accountId = z.string().min(1).max(100);

/** Integer cents: fractions of a dollar do not add up in floating point. */
export const amountCents = z.int().positive();

/**
 * Quick, because what is transient here passes within milliseconds (a lock, an account that is being opened) or says
 * itself when to come back (the fraud check). Eight attempts take 16 s.
 */
export const retry: RetryOptions = {
  maximumAttempts: 8,
  initialInterval: '200ms',
  backoffCoefficient: 2,
  maximumInterval: '5s',
};
