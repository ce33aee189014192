/**
 * The definition of a command, as its author writes it.
 *
 * @module
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { ClientBase, PoolClient } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import type { Duration } from '../core/duration.ts';
import { InvalidCommandError } from '../core/errors.ts';
import type { Json, JsonObject } from '../core/json.ts';
import type { JsonCompatible, StoredAs } from '../core/json-type.ts';
import type { RetryOptions } from '../core/retry-policy.ts';
import { checkContract } from './contract.ts';
import type { CommandContract, Schema, WithJsonInput } from './contract.ts';
import type { Send } from './message.ts';

/**
 * The one transaction of an attempt: a `pg` client without the calls that would end the transaction or the connection. It
 * cannot be used after the handler has returned.
 *
 * BEGIN creates a savepoint, and the following COMMIT or ROLLBACK releases it or rolls back to it. In this way an ORM's
 * transactions are nested in the attempt's transaction. A COMMIT or ROLLBACK without a BEGIN is rejected, and the command
 * becomes a dead letter (`TransactionEnded`).
 *
 * Drizzle, Kysely and Knex work on `client`: docs/adapters.md shows how.
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

/** The argument of `prepare`. A handler's argument has these properties, too. */
export interface PrepareContext<Payload> {
  messageId: string;
  type: string;
  /** The output of the command's schema. */
  payload: Payload;
  metadata: JsonObject;
  correlationId: string | null;
  causationId: string | null;
  receivedAt: Date;
  /** 1 for the first attempt since the command was received or last replayed. */
  attempt: number;
  /** How many times the command was replayed. */
  generation: number;
  /**
   * Aborted when the attempt fails, times out, is superseded or canceled, or when the grace period of the worker's shutdown
   * ends.
   */
  signal: AbortSignal;
  log: CommandLog;
}

export interface HandlerContext<Payload, Prepared = undefined> extends PrepareContext<Payload> {
  /** The return value of `prepare`; undefined without `prepare`. */
  prepared: Prepared;
  tx: Transaction;
  /**
   * Adds an event to the outbox, in call order. Throws if the event is not valid JSON: the command then becomes a dead
   * letter at once, even if the handler catches the error. Events emitted in a nested transaction are kept even if that nested
   * transaction is rolled back.
   */
  emit: (event: OutboxEvent) => void;
  /**
   * Sends the next command in this same transaction: it exists if, and only if, this attempt commits. Unless the message
   * sets them, its correlationId is that of this command (or this command's message_id, if it has none), and its causationId
   * is this command's message_id. If the send fails, the attempt fails, even if the handler catches the error or does not
   * await it.
   */
  send: Send;
}

/** The settings of a command. */
export interface CommandSettings {
  retry?: RetryOptions;
  /** Time limit of one attempt, including `prepare`. Default 10 s; at most 1 minute unless `longRunning`. */
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
   * `external`: the handler does something that a rollback cannot undo, such as a call to another service that acts on it. A
   * dry run refuses the command, and its handler starts only after the row is known to be locked. Default `database`.
   */
  effects?: 'database' | 'external';
}

/** The settings, in a form that makes the compiler reject a command that is both express and long-running. */
export type ModeSettings<LongRunning extends boolean> = Omit<CommandSettings, 'longRunning' | 'express'> & {
  longRunning?: LongRunning;
  express?: (boolean | 'recorded') & (LongRunning extends true ? false : unknown);
};

/** A command with its handler: what workers run. */
export interface CommandDefinition<
  Type extends string = string,
  PayloadSchema extends Schema = Schema,
  Result = unknown,
  Prepared = unknown,
>
  extends CommandContract<Type, PayloadSchema, Result>, CommandSettings {
  /** See {@link CommandBehavior.prepare}. */
  prepare?(
    context: PrepareContext<StandardSchemaV1.InferOutput<PayloadSchema>>,
  ): Prepared | Promise<Prepared>;
  /** See {@link CommandBehavior.handle}. */
  handle(context: HandlerContext<StandardSchemaV1.InferOutput<PayloadSchema>, Prepared>): unknown;
}

/** The functions of a command. `Output` is the output of its schema. */
export interface CommandBehavior<Output, Result, Prepared> {
  /**
   * Runs before the transaction begins, without a connection to Postgres: the place for calls to other services, which would
   * otherwise hold a connection and locks while they wait. What it returns is `context.prepared` in the handler. Its errors
   * count as errors of the attempt. Each attempt runs it again, and a dry run runs it, too.
   */
  prepare?(context: PrepareContext<Output>): Prepared | Promise<Prepared>;
  /**
   * Runs in the attempt's transaction. Most errors are transient and retried. Some make the command a dead letter at once,
   * such as {@link UnrecoverableError}; docs/handlers.md has the list. The result must be JSON.
   */
  handle: ((context: HandlerContext<Output, Prepared>) => Promise<Result> | Result) & WithJsonResult<Result>;
}

/** Makes the compiler refuse a handler whose result is not JSON, and say why. */
export type WithJsonResult<Result> = [Result] extends [JsonCompatible<Result>]
  ? unknown
  : (context: never) => Promise<JsonCompatible<Result>> | JsonCompatible<Result>;

/** The argument of {@link defineCommand}. */
export type CommandOptions<
  Type extends string,
  PayloadSchema extends Schema,
  Result,
  Prepared,
  LongRunning extends boolean,
> = {
  /** For example `TransferFunds`; 1 to 200 characters, unique within a worker. */
  type: Type;
  /** Validates and converts the payload. A payload that fails it makes the command a dead letter at once. */
  schema: PayloadSchema & WithJsonInput<PayloadSchema>;
} & ModeSettings<LongRunning> &
  CommandBehavior<StandardSchemaV1.InferOutput<PayloadSchema>, Result, Prepared>;

/**
 * Declares a command. Its type and its schema are checked at once, its other settings when a worker registers it.
 *
 * @throws InvalidCommandError for an invalid type, or a schema that does not implement Standard Schema
 * @example
 * export const openAccount = defineCommand({
 *   type: 'OpenAccount',
 *   schema: z.object({ id: z.string() }),
 *   async handle({ payload, tx }) {
 *     await tx.query('insert into accounts (id) values ($1)', [payload.id]);
 *   },
 * });
 */
export function defineCommand<
  const Type extends string,
  PayloadSchema extends Schema,
  Result = undefined,
  Prepared = undefined,
  LongRunning extends boolean = boolean,
>(
  options: CommandOptions<Type, PayloadSchema, Result, Prepared, LongRunning>,
): CommandDefinition<Type, PayloadSchema, StoredAs<Result>, Prepared> {
  checkContract(options);
  return options;
}

/** The second argument of {@link implement}. `Result` is what the handler returns: the input of the contract's result. */
export type ImplementationOptions<
  Contract extends CommandContract,
  Result,
  Prepared,
  LongRunning extends boolean,
> = ModeSettings<LongRunning> &
  CommandBehavior<
    StandardSchemaV1.InferOutput<Contract['schema']>,
    Contract['result'] extends Schema ? StandardSchemaV1.InferInput<Contract['result']> : Result,
    Prepared
  >;

/**
 * Adds the handler and the settings to a contract, for the workers that run the command. If the contract declares a result,
 * an attempt whose handler returns anything else fails with `InvalidResult`.
 *
 * @throws InvalidCommandError for something that is not a contract
 * @example
 * export const reserveStockCommand = implement(reserveStock, {
 *   async handle({ payload, tx }) {
 *     const { rows } = await tx.query('update stock set free = free - $2 where sku = $1 returning free', [ … ]);
 *     return { free: rows[0].free };
 *   },
 * });
 */
export function implement<
  Type extends string,
  PayloadSchema extends Schema,
  Contract extends CommandContract<Type, PayloadSchema>,
  Result = undefined,
  Prepared = undefined,
  LongRunning extends boolean = boolean,
>(
  contract: Contract & CommandContract<Type, PayloadSchema>,
  options: ImplementationOptions<Contract, Result, Prepared, LongRunning>,
): CommandDefinition<
  Contract['type'],
  Contract['schema'],
  StoredAs<Contract['result'] extends Schema ? StandardSchemaV1.InferOutput<Contract['result']> : Result>,
  Prepared
> {
  checkContract(contract);
  const { type, schema, result } = contract;
  if (typeof options.handle !== 'function') throw new InvalidCommandError(type, 'needs a function handle');
  return {
    ...options,
    type,
    schema,
    result,
    // The options may be an instance of a class, whose methods are not copied.
    handle: options.handle.bind(options),
    ...(options.prepare && { prepare: options.prepare.bind(options) }),
  };
}
