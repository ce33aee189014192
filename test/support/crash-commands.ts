/**
 * Commands for workers that are killed. They report to the test in the table `told`, which they write outside of their
 * transaction.
 *
 * @module
 */
import { Client } from 'pg';
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';
import { readDatabaseUrl } from '../../src/platform/postgres-url.ts';

let dieAfterCommit = false;

/** Kills this process when Postgres has answered COMMIT, before the caller gets the answer. */
// oxlint-disable-next-line typescript/unbound-method -- it is called with `this` below
const query = Client.prototype.query as (this: Client, ...args: unknown[]) => unknown;
Client.prototype.query = function observed(this: Client, ...args: unknown[]) {
  const answer = query.apply(this, args);
  if (!dieAfterCommit || args[0] !== 'commit') return answer;
  return (answer as Promise<unknown>).then(() => {
    process.kill(process.pid, 'SIGKILL');
    return new Promise(() => {});
  });
} as typeof Client.prototype.query;

async function reportStarted(messageId: string): Promise<void> {
  const client = new Client(readDatabaseUrl());
  await client.connect();
  await client.query('insert into told (message_id, pid) values ($1, $2)', [messageId, process.pid]);
  await client.end();
}

const schema = z.object({});

/** The first attempt waits forever, with its effect written but not committed. */
export const waitInHandler = defineCommand({
  type: 'WaitInHandler',
  schema,
  timeout: '3s',
  retry: { initialInterval: '100ms' },
  async handle({ tx, messageId, attempt }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    if (attempt === 1) {
      await reportStarted(messageId);
      await new Promise(() => {});
    }
    return attempt;
  },
});

export const dieOnceCommitted = defineCommand({
  type: 'DieOnceCommitted',
  schema,
  async handle({ tx, messageId }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    dieAfterCommit = true;
    return 'committed';
  },
});

/** Ends its process in every attempt. */
export const poison = defineCommand({
  type: 'Poison',
  schema,
  retry: { maximumAttempts: 2, initialInterval: '100ms' },
  async handle() {
    process.exit(3);
  },
});

export const slow = defineCommand({
  type: 'Slow',
  schema,
  async handle({ tx, messageId }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    await reportStarted(messageId);
    await tx.query('select pg_sleep(1.5)');
    return 'done';
  },
});
