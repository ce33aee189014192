/**
 * The commands of a worker in a chaos run: those of both releases, and those that only the release in `CHAOS_RELEASE` knows.
 *
 * @module
 */
import { Client } from 'pg';
import { defineCommand } from '../../src/index.ts';
import type { DeadLetterAlert } from '../../src/index.ts';
import { expressTransfer, noteAlert, recordedTransfer, transfer, TYPES_OF_ONE_RELEASE } from './bank.ts';
import type { ReleaseName } from './bank.ts';

const own = TYPES_OF_ONE_RELEASE[process.env['CHAOS_RELEASE'] as ReleaseName].map((type) =>
  defineCommand({ ...transfer, type, express: type.includes('Express') }),
);

export default [transfer, expressTransfer, recordedTransfer, ...own];

/** On a connection of its own. */
export async function onDeadLetter(alert: DeadLetterAlert): Promise<void> {
  const client = new Client({ connectionString: process.env['DATABASE_URL'] });
  client.on('error', () => {});
  await client.connect();
  try {
    await noteAlert(client, alert);
  } finally {
    await client.end();
  }
}
