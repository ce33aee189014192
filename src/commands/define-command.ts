/**
 * What a command is to the people who write one.
 *
 * @module
 */
import type { ClientBase } from 'pg';
import type { output, ZodType } from 'zod';
import type { Json, JsonObject } from '../core/json.ts';
import type { CommandLog } from '../core/command-log.ts';
import type { Duration } from '../core/duration.ts';
import type { RetryOptions } from '../core/retry-policy.ts';
import type { Message, Sent } from './message.ts';

/**
 * The one transaction of an attempt: a `pg` client without the calls that would end the transaction or the connection.
 * It is dead after the handler returned.
 *
 * BEGIN makes a savepoint, and the COMMIT or ROLLBACK after it releases it or rolls back to it, so that the transactions of
 * an ORM are nested in that of the attempt. A COMMIT or ROLLBACK without a BEGIN is rejected, and the command becomes a dead
 * letter (`TransactionEnded`).
 *
 * Drizzle, Kysely and Knex work on it: docs/commands.md shows how.
 */
export type Transaction = Pick<ClientBase, 'query'>;

/** A fact, in the past tense, that leaves through `inbox.outbox` when the transaction commits. */
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
  /** How often the command was replayed. */
  generation: number;
  tx: Transaction;
  /**
   * Adds an event to the outbox, in the order of the calls. Throws when it is not JSON: a dead letter at once, also where
   * the handler catches that. What a nested transaction emits stays when only that one is rolled back.
   */
  emit: (event: OutboxEvent) => void;
  /** Aborted when the attempt fails, times out, is overtaken or cancelled, or its worker shuts down for good. */
  signal: AbortSignal;
  /**
   * Sends the next command in this same transaction: it exists if, and only if, this attempt commits. Its correlationId
   * is that of this command (its message_id where it has none) and its causationId this command's message_id, unless
   * the message says otherwise. If it fails, the attempt fails, also where the handler catches that or does not await it.
   */
  send: (message: Message) => Promise<Sent>;
  log: CommandLog;
}

export interface CommandDefinition<Schema extends ZodType = ZodType, Result = unknown> {
  /** For example `TransferFunds`; 1 to 200 characters, unique within a worker. */
  type: string;
  schema: Schema;
  retry?: RetryOptions;
  /** How long one attempt may take. Default 10 s; at most 1 minute unless `longRunning`. */
  timeout?: Duration;
  /**
   * Skip the local activity: the attempt runs as an ordinary activity that heartbeats, so it may take hours, hears of
   * a cancellation through `signal`, and its worker's death is noticed within seconds.
   */
  longRunning?: boolean;
  /**
   * For commands that come by `send`: the worker runs the first attempt straight from the table, with the same
   * guarantees, and only a command that does not complete at once gets its workflow. Many times faster; a command that
   * went well leaves no trace in Temporal's Web UI. Not together with `longRunning`.
   *
   * `'recorded'`: the same, and each command that went well gets its workflow afterwards, which says what came of it and ends
   * at once. The handler waits for nothing of Temporal, the Web UI has every command, and one costs little more than an
   * empty workflow.
   */
  express?: boolean | 'recorded';
  /**
   * external: it does more than its transaction takes back, such as calling another service that acts. Then a dry run
   * refuses it, and the handler begins only once its row is known to be locked. Default `database`.
   */
  effects?: 'database' | 'external';
  /**
   * Any error is transient and tried again, except {@link UnrecoverableError}, a non-retryable Temporal
   * `ApplicationFailure` and a payload that fails the schema. The result must be JSON.
   */
  handle(context: HandlerContext<output<Schema>>): Promise<Result> | Result;
}

/**
 * Declares a command. Settings are checked when a worker or an inbox takes it into its registry.
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
