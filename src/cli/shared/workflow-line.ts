/**
 * The line about the workflow in `inbox show`. Everything else comes from Postgres. Temporal is queried only for messages
 * that are not Completed, and only for a few seconds.
 *
 * @module
 */
import type { Connection } from '@temporalio/client';
import type { Pool } from 'pg';
import { settingsFromEnv } from '../../settings.ts';
import { readTemporal } from '../../temporal/connection-config.ts';
import { messageOf } from '../../platform/error-message.ts';
import { ConfigurationError } from '../../core/errors.ts';
import { workflowState } from '../../operations/index.ts';
import type { EntryStory, WorkflowCondition } from '../../operations/index.ts';

const LIMIT_MS = 3_000;

/** Null when the message is Completed, or when no Temporal server is configured. Never rejects. */
export async function readWorkflowState(
  pool: Pool,
  entry: EntryStory['entry'],
): Promise<WorkflowCondition | null> {
  if (entry.status === 'Completed') return null;
  let connection: Connection | undefined;
  try {
    const { connectionOptions, namespace } = readTemporal();
    const { Client, Connection } = await import('@temporalio/client');
    connection = await Connection.connect({ ...connectionOptions, connectTimeout: LIMIT_MS });
    const client = new Client({ connection, namespace });
    return await workflowState(
      { pool, client, taskQueue: settingsFromEnv().taskQueue },
      entry.messageId,
      LIMIT_MS,
    );
  } catch (error) {
    if (error instanceof ConfigurationError) return null;
    const finding = `the state of the workflow could not be read from Temporal: ${messageOf(error)}`;
    return { kind: 'none', finding, remedy: null };
  } finally {
    await connection?.close();
  }
}
