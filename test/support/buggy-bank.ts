/**
 * The bank after a faulty release: `transferFunds` looks up the limit of a currency that no payload has, and validates no
 * field.
 *
 * @module
 */
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';

export { createAccount } from '../../examples/bank/create-account.ts';
export { depositFunds } from '../../examples/bank/deposit-funds.ts';

const LIMITS: Record<string, { perTransferCents: number }> = { USD: { perTransferCents: 1_000_000 } };

export const transferFunds = defineCommand({
  type: 'TransferFunds',
  schema: z.record(z.string(), z.json()),
  retry: { maximumAttempts: 2, initialInterval: '100ms' },
  async handle({ payload }) {
    const limit = LIMITS[payload['currency'] as string] as { perTransferCents: number };
    if (Number(payload['amountCents']) > limit.perTransferCents) throw new Error('over the limit');
  },
});
