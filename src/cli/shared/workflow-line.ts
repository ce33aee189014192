/**
 * What `inbox show` says of a message's workflow. Postgres has the story; Temporal is asked only about what is not settled, and
 * only if it answers soon.
 *
 * @module
 */
import type { Connection } from '@temporalio/client';
import type { Pool } from 'pg';
import { readSettings } from '../../settings.ts';
import { readTemporal } from '../../temporal/connection-config.ts';
import { messageOf } from '../../platform/error-message.ts';
import { ConfigurationError } from '../../core/errors.ts';
import { inboxIdOf } from '../../store/inbox-id.ts';
import type { Entry } from '../../store/entries.ts';
import { conditionOf } from '../../temporal/workflow-condition.ts';
import type { WorkflowCondition } from '../../temporal/workflow-condition.ts';

const LIMIT_MS = 3_000;

/** Null when the message is settled, or no Temporal server is configured. Never rejects. */
export async function lookAtWorkflow(pool: Pool, entry: Entry): Promise<WorkflowCondition | null> {
  if (entry.status === 'Completed') return null;
  let connection: Connection | undefined;
  try {
    const { connectionOptions, namespace } = readTemporal();
    const { Client, Connection } = await import('@temporalio/client');
    connection = await Connection.connect({ ...connectionOptions, connectTimeout: LIMIT_MS });
    const client = new Client({ connection, namespace });
    const owner = { client, taskQueue: readSettings().taskQueue, inbox: await inboxIdOf(pool) };
    return await conditionOf(owner, entry.messageId, undefined, LIMIT_MS);
  } catch (error) {
    if (error instanceof ConfigurationError) return null;
    const finding = `Temporal could not be asked about its workflow: ${messageOf(error)}`;
    return { kind: 'none', finding, remedy: null };
  } finally {
    await connection?.close();
  }
}
