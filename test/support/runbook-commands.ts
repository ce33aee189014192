/**
 * The command of the runbook's test: an account that is closed keeps its payments dead, until it is opened or another one named.
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
