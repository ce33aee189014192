/**
 * temporal-inbox: a command inbox on Temporal and Postgres.
 *
 * This entry point declares and sends commands. It loads `pg`, but neither Temporal's SDK nor its native worker.
 *
 * @module temporal-inbox
 */
export { defineContract } from './commands/contract.ts';
export type {
  CommandContract,
  ContractOptions,
  InferPayload,
  InferResult,
  ResultOf,
  Schema,
  WithJsonInput,
} from './commands/contract.ts';
export { defineCommand, implement } from './commands/define-command.ts';
export type {
  CommandBehavior,
  CommandDefinition,
  CommandOptions,
  CommandSettings,
  HandlerContext,
  ImplementationOptions,
  ModeSettings,
  OutboxEvent,
  PrepareContext,
  Transaction,
  WithJsonResult,
} from './commands/define-command.ts';
export { message } from './commands/message.ts';
export type {
  AnyMessage,
  BoundMessage,
  Message,
  MessageByName,
  MessageFor,
  MessageOptions,
  NamedMessage,
  OneOf,
  Send,
  Sendable,
  Sent,
} from './commands/message.ts';
export type { CommandLog } from './core/command-log.ts';
export type { PinoLogger } from './platform/pino-log.ts';
export type { Duration, DurationUnit } from './core/duration.ts';
export {
  CampaignError,
  ConfigurationError,
  DeadLetterError,
  IdempotencyConflictError,
  InboxClosedError,
  InboxError,
  InvalidCommandError,
  InvalidMessageError,
  InvalidResultError,
  MessageLockedError,
  MigrationBlockedError,
  NotADeadLetterError,
  PublishError,
  RequestRefusedError,
  ResultPrunedError,
  ResultTimeoutError,
  RetryAfterError,
  SchemaError,
  UnknownCampaignError,
  UnknownEventError,
  UnknownMessageError,
  UnreachableError,
  UnrecoverableError,
  UnusableTransactionError,
  WorkerEndedError,
  WorkflowIdTakenError,
} from './core/errors.ts';
export type { DeadLetterFailure, InvalidField, PublishErrorOptions } from './core/errors.ts';
export type { Json, JsonObject } from './core/json.ts';
export type { JsonCompatible, NotJson, StoredAs } from './core/json-type.ts';
export { STATUSES } from './core/protocol.ts';
export type { EntryStatus } from './core/protocol.ts';
export type { RetryOptions } from './core/retry-policy.ts';
export { createInbox } from './sending/inbox.ts';
export type {
  ExecuteOptions,
  Inbox,
  InboxOptions,
  NotAPool,
  RestOf,
  ResultFor,
  SendOptions,
  TypedInbox,
} from './sending/inbox-types.ts';
export type { Entry } from './store/entries.ts';
export type { SqlClient } from './core/sql-client.ts';
export { migrate } from './store/migrate.ts';
export type { MigrateOptions, MigrationReport } from './store/migrate.ts';
export type { Migration } from './store/migration-files.ts';
export type { AppliedMigration } from './store/migrations.ts';
