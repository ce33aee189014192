/**
 * The commands of a worker in a chaos run: those that both releases know, and those that only the release in `CHAOS_RELEASE`
 * knows.
 *
 * @module
 */
import { Client } from 'pg';
import { defineCommand } from '../../src/index.ts';
import type { DeadLetterAlert } from '../../src/core/alert.ts';
import { expressTransfer, recordAlert, recordedTransfer, transfer, TYPES_OF_ONE_RELEASE } from './bank.ts';
import type { ReleaseName } from './bank.ts';

const own = TYPES_OF_ONE_RELEASE[process.env['CHAOS_RELEASE'] as ReleaseName].map((type) =>
  defineCommand({ ...transfer, type, express: type.includes('Express') }),
);

export default [transfer, expressTransfer, recordedTransfer, ...own];

export async function onDeadLetter(alert: DeadLetterAlert): Promise<void> {
  const client = new Client({ connectionString: process.env['DATABASE_URL'] });
  client.on('error', () => {});
  await client.connect();
  try {
    await recordAlert(client, alert);
  } finally {
    await client.end();
  }
}
