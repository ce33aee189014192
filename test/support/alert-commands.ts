/**
 * Commands that die, for tests of alerts; and a hook that remembers whom it told. In a worker process they die, fail or
 * hang at the crash point that is in their message's id.
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

/** In the payload and in the message of its error. */
export const CANARY = 'canary-4711';

/** Each cause is a failure group of its own. */
export const dies = defineCommand({
  type: 'Dies',
  schema: z.object({ cause: z.string(), secret: z.string().optional() }),
  handle({ payload }) {
    throw new UnrecoverableError(payload.cause, {}, { message: `it said ${payload.secret ?? 'nothing'}` });
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
