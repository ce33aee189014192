/**
 * The definition of a command, as its author writes it.
 *
 * @module
 */
import type { ClientBase, PoolClient } from 'pg';
import type { output, ZodType } from 'zod';
import type { Json, JsonObject } from '../core/json.ts';
import type { CommandLog } from '../core/command-log.ts';
import type { Duration } from '../core/duration.ts';
import type { RetryOptions } from '../core/retry-policy.ts';
import type { Message, Sent } from './message.ts';

/**
 * The one transaction of an attempt: a `pg` client without the calls that would end the transaction or the connection. It
 * cannot be used after the handler has returned.
 *
 * BEGIN creates a savepoint, and the following COMMIT or ROLLBACK releases it or rolls back to it. In this way an ORM's
 * transactions are nested in the attempt's transaction. A COMMIT or ROLLBACK without a BEGIN is rejected, and the command
 * becomes a dead letter (`TransactionEnded`).
 *
 * Drizzle, Kysely and Knex work on it: docs/handlers.md shows how.
 */
export type Transaction = Pick<ClientBase, 'query'> & {
  /** The same transaction as a `pg` client, for libraries that expect one. Only its `query` does anything. */
  readonly client: PoolClient;
};

/** A fact, in the past tense. It is published through `inbox.outbox` after the transaction has committed. */
export interface OutboxEvent {
  aggregateType: string;
  aggregateId: string;
  type: string;
  payload: Json;
  metadata?: JsonObject;
}

export interface HandlerContext<Payload> {
  messageId: string;
  type: string;
  /** Parsed by the command's schema. */
  payload: Payload;
  metadata: JsonObject;
  correlationId: string | null;
  causationId: string | null;
  receivedAt: Date;
  /** 1 for the first attempt since the command was received or last replayed. */
  attempt: number;
  /** How many times the command was replayed. */
  generation: number;
  tx: Transaction;
  /**
   * Adds an event to the outbox, in call order. Throws if the event is not valid JSON: the command then becomes a dead
   * letter at once, even if the handler catches the error. Events emitted in a nested transaction remain if only that one is
   * rolled back.
   */
  emit: (event: OutboxEvent) => void;
  /**
   * Aborted when the attempt fails, times out, is superseded or canceled, or when the worker's shutdown grace time has
   * passed.
   */
  signal: AbortSignal;
  /**
   * Sends the next command in this same transaction: it exists if, and only if, this attempt commits. Unless the message
   * says otherwise, its correlationId is that of this command (or its message_id, if it has none), and its causationId is
   * this command's message_id. If the send fails, the attempt fails, even if the handler catches the error or does not await
   * it.
   */
  send: (message: Message) => Promise<Sent>;
  log: CommandLog;
}

export interface CommandDefinition<Schema extends ZodType = ZodType, Result = unknown> {
  /** For example `TransferFunds`; 1 to 200 characters, unique within a worker. */
  type: string;
  schema: Schema;
  retry?: RetryOptions;
  /** Time limit of one attempt. Default 10 s; at most 1 minute unless `longRunning`. */
  timeout?: Duration;
  /**
   * Skips the local activity: the attempt runs as an ordinary activity that sends heartbeats. It may take hours, its
   * `signal` is aborted when the workflow is canceled, and Temporal notices within seconds if its worker dies.
   */
  longRunning?: boolean;
  /**
   * For commands that come through `send`: the worker runs the first attempt straight from the table, with the same
   * guarantees. Only a command that does not complete in its first attempt gets a workflow. This is many times faster, but a
   * command that succeeds leaves no trace in Temporal's Web UI. Cannot be combined with `longRunning`.
   *
   * `'recorded'`: the same, but each command that succeeds gets a workflow afterwards, which shows the result and ends at
   * once. The handler does not wait for Temporal, the Web UI shows every command, and a command costs little more than an
   * empty workflow.
   */
  express?: boolean | 'recorded';
  /**
   * external: the handler does something that a rollback cannot undo, such as a call to another service that acts on it. A
   * dry run refuses the command, and its handler starts only after the row is known to be locked. Default `database`.
   */
  effects?: 'database' | 'external';
  /**
   * Every error counts as transient and is retried, except {@link UnrecoverableError}, a non-retryable Temporal
   * `ApplicationFailure` and a payload that fails the schema. The result must be JSON.
   */
  handle(context: HandlerContext<output<Schema>>): Promise<Result> | Result;
}

/**
 * Declares a command. Its settings are checked when a worker or an inbox registers it.
 *
 * @example
 * export const openAccount = defineCommand({
 *   type: 'OpenAccount',
 *   schema: z.object({ id: z.string() }),
 *   async handle({ payload, tx }) {
 *     await tx.query('insert into accounts (id) values ($1)', [payload.id]);
 *   },
 * });
 */
export function defineCommand<Schema extends ZodType, Result>(
  definition: CommandDefinition<Schema, Result>,
): CommandDefinition<Schema, Result> {
  return definition;
}
