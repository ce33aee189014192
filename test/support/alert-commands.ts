/**
 * A command that becomes a dead letter, for tests of alerts, and an `onDeadLetter` hook that records each alert it gets. If
 * a message id names a crash point, the worker process dies, fails or hangs there (see chaos-commands.ts).
 *
 * @module
 */
import { Client } from 'pg';
import { z } from 'zod';
import type { DeadLetterAlert } from '../../src/core/alert.ts';
import { defineCommand } from '../../src/commands/define-command.ts';
import { readDatabaseUrl } from '../../src/platform/postgres-url.ts';
import { UnrecoverableError } from '../../src/core/errors.ts';
import './chaos-commands.ts';

/** Tests put this text into the payload; the handler repeats it in its error message. */
export const CANARY = 'canary-4711';

/** Each cause makes a separate failure group. */
export const dies = defineCommand({
  type: 'Dies',
  schema: z.object({ cause: z.string(), secret: z.string().optional() }),
  handle({ payload }) {
    throw new UnrecoverableError(
      payload.cause,
      {},
      { message: `the secret is ${payload.secret ?? 'not set'}` },
    );
  },
});

export const ALERTED_TABLE = 'create table alerted (alert_id uuid, message_ids text[], count integer)';

export async function onDeadLetter({ alertId, messageIds, count }: DeadLetterAlert): Promise<void> {
  const client = new Client(readDatabaseUrl());
  await client.connect();
  try {
    await client.query('insert into alerted values ($1, $2, $3)', [alertId, messageIds, count]);
  } finally {
    await client.end();
  }
}
