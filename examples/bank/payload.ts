/**
 * Schemas and retry options shared by the bank's commands.
 *
 * @module
 */
import { z } from 'zod';
import type { RetryOptions } from 'temporal-inbox';

export const accountId = z.string().min(1).max(100);

/** Integer cents, because floating-point fractions of a dollar do not add up exactly. */
export const amountCents = z.int().positive();

/**
 * The intervals are short, because transient failures either disappear within milliseconds (a lock, an account that is being
 * opened) or specify their own delay (the fraud check). The delays between eight attempts add up to 16 s.
 */
export const retry: RetryOptions = {
  maximumAttempts: 8,
  initialInterval: '200ms',
  backoffCoefficient: 2,
  maximumInterval: '5s',
};
