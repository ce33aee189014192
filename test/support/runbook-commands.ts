/**
 * Commands of the runbook's test. A payment to a closed account becomes a dead letter. Its replay succeeds once the account
 * is open or the payload names an open one.
 *
 * @module
 */
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../src/core/errors.ts';

export const pay = defineCommand({
  type: 'Pay',
  schema: z.object({ account: z.string() }),
  async handle({ payload, tx }) {
    const { rowCount } = await tx.query('select from open_accounts where account = $1', [payload.account]);
    if (rowCount === 0) throw new UnrecoverableError('AccountClosed', { account: payload.account });
    return 'paid';
  },
});

export const unstable = defineCommand({
  type: 'Unstable',
  schema: z.object({}),
  retry: { initialInterval: '1h', maximumInterval: '1h' },
  async handle() {
    throw new Error('not now');
  },
});
