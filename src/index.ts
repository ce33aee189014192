/**
 * temporal-inbox: a command inbox on Temporal and Postgres.
 *
 * @module temporal-inbox
 */
export type { DeadLetterAlert, DeadLetterHook } from './core/alert.ts';
export { defineCommand } from './commands/define-command.ts';
export type {
  CommandDefinition,
  HandlerContext,
  OutboxEvent,
  Transaction,
} from './commands/define-command.ts';
export type { CommandLog } from './core/command-log.ts';
export type { Duration } from './core/duration.ts';
export {
  CampaignError,
  ConfigurationError,
  DeadLetterError,
  IdempotencyConflictError,
  InboxClosedError,
  InboxError,
  InvalidCommandError,
  InvalidMessageError,
  MessageLockedError,
  MigrationBlockedError,
  NotADeadLetterError,
  PublishError,
  RequestRefusedError,
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
export type { PublishErrorOptions } from './core/errors.ts';
export type { Finding } from './health/finding.ts';
export { checkHealth } from './health/check-health.ts';
export type { HealthOptions } from './health/check-health.ts';
export { createInbox } from './sending/inbox.ts';
export type { ExecuteOptions, Inbox, InboxOptions, SendOptions } from './sending/inbox.ts';
export type { Json, JsonObject } from './core/json.ts';
export { migrate } from './store/migrate.ts';
export type { MigrateOptions, MigrationReport } from './store/migrate.ts';
export type { Migration } from './store/migration-files.ts';
export type { AppliedMigration } from './store/migrations.ts';
export * as operations from './operations/index.ts';
export {
  ABORT_SIGNAL,
  CAMPAIGN_STATES,
  CAMPAIGN_WORKFLOW_TYPE,
  DEFAULT_TASK_QUEUE,
  DISCARD_SIGNAL,
  PAUSE_SIGNAL,
  PROGRESS_QUERY,
  REPLAY_SIGNAL,
  RESUME_SIGNAL,
  SEARCH_ATTRIBUTES,
  STATUS_QUERY,
  STATUSES,
  WORKFLOW_TYPE,
} from './core/protocol.ts';
export type {
  CampaignArgument,
  CampaignState,
  DiscardRequest,
  EntryStatus,
  Envelope,
  OperatorNote,
  ReplayRequest,
  StatusReport,
} from './core/protocol.ts';
export { prune } from './retention/retention.ts';
export type { PruneOptions, PruneReport } from './retention/retention.ts';
export type { RetryOptions } from './core/retry-policy.ts';
export type { PruneCounts, PruneProgress, PruneStep } from './retention/table-walk.ts';
export type { InboxSettings } from './settings.ts';
export { missingSearchAttributes, registerSearchAttributes } from './temporal/search-attributes.ts';
export type { WithDeadline } from './temporal/answer-limit.ts';
export type {
  AttributeChoice,
  OperatorConnection,
  Registration,
  UsableAttributes,
} from './temporal/search-attributes.ts';
export type { Message, Sent } from './commands/message.ts';
export type { Entry } from './store/entries.ts';
export type { SqlClient } from './core/sql-client.ts';
export { createOutboxRelay } from './outbox/relay.ts';
export type { OutboxRelay, OutboxRelayOptions } from './outbox/relay.ts';
export type { Publish, PublishedEvent, Publisher } from './core/published-event.ts';
export type { WebhookSettings } from './alerts/webhook-settings.ts';
export { createInboxWorker } from './worker.ts';
export type { InboxWorker, InboxWorkerOptions } from './worker.ts';
