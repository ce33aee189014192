/**
 * Starts a command with a Temporal client: the way in for those who have one and no Postgres transaction of their own.
 *
 * @module
 */
import type { Client } from '@temporalio/client';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { Pool } from 'pg';
import { parseEnvelope } from './envelope.ts';
import { IdempotencyConflictError } from './errors.ts';
import type { Envelope } from './protocol.ts';
import { WORKFLOW_TYPE } from './protocol.ts';
import { findEntry, hasFingerprint } from './store/entries.ts';
import type { NewEntry } from './store/entries.ts';

export interface CommandStarter {
  client: Client;
  pool: Pool;
  taskQueue: string;
  maxPayloadBytes: number;
}

export type SendAnswer = 'accepted' | 'duplicate';

/**
 * Checks the command as the worker will, asks Postgres whether it is known, and starts its workflow if not.
 *
 * @throws InvalidMessageError, IdempotencyConflictError; nothing is started then
 */
export async function startCommand(
  starter: CommandStarter,
  messageId: string,
  input: unknown,
): Promise<SendAnswer> {
  const command = parseEnvelope(messageId, input, starter.maxPayloadBytes);
  if (await isKnown(starter, command)) return 'duplicate';
  try {
    await starter.client.workflow.start(WORKFLOW_TYPE, {
      workflowId: messageId,
      taskQueue: starter.taskQueue,
      args: [envelopeOf(command)],
      // A run that has ended is known to Postgres; what Temporal forgot after its retention Postgres still knows.
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      staticSummary: command.commandType,
    });
    return 'accepted';
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    // It started between our look and our start; if it has been claimed by now, a conflict can still be told.
    await isKnown(starter, command);
    return 'duplicate';
  }
}

/** @throws IdempotencyConflictError */
async function isKnown({ pool }: CommandStarter, command: NewEntry): Promise<boolean> {
  if (!(await findEntry(pool, command.messageId))) return false;
  if (!(await hasFingerprint(pool, command))) throw new IdempotencyConflictError(command.messageId);
  return true;
}

function envelopeOf({ commandType, payload, correlationId, causationId, metadata }: NewEntry): Envelope {
  return {
    commandType,
    payload,
    ...(correlationId === null ? {} : { correlationId }),
    ...(causationId === null ? {} : { causationId }),
    ...(Object.keys(metadata).length === 0 ? {} : { metadata }),
  };
}
