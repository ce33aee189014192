/**
 * temporal-inbox: a command inbox on Temporal and Postgres.
 *
 * @module
 */
export type { DeadLetterAlert, DeadLetterHook } from './alert.ts';
export { defineCommand } from './command.ts';
export type {
  CommandDefinition,
  CommandLog,
  Duration,
  HandlerContext,
  OutboxEvent,
  Transaction,
} from './command.ts';
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
} from './errors.ts';
export type { PublishErrorOptions } from './errors.ts';
export type { Finding } from './finding.ts';
export { checkHealth } from './health.ts';
export type { HealthOptions } from './health.ts';
export { createInbox } from './inbox.ts';
export type { ExecuteOptions, Inbox, InboxOptions, SendOptions } from './inbox.ts';
export type { Json, JsonObject } from './json.ts';
export { migrate } from './migrate.ts';
export type { MigrateOptions, MigrationReport } from './migrate.ts';
export * as operations from './operations.ts';
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
} from './protocol.ts';
export type {
  CampaignArgument,
  CampaignState,
  DiscardRequest,
  EntryStatus,
  Envelope,
  OperatorNote,
  ReplayRequest,
  StatusReport,
} from './protocol.ts';
export { prune } from './retention.ts';
export type { PruneOptions, PruneReport } from './retention.ts';
export type { RetryOptions } from './retry.ts';
export { missingSearchAttributes, registerSearchAttributes } from './search-attributes.ts';
export type { Message, Sent } from './send.ts';
export type { Entry } from './store/entries.ts';
export type { SqlClient } from './store/send.ts';
export { createOutboxRelay } from './outbox-relay.ts';
export type { OutboxRelay, OutboxRelayOptions } from './outbox-relay.ts';
export type { Publish, PublishedEvent, Publisher } from './publisher.ts';
export type { WebhookSettings } from './webhook-settings.ts';
export { createInboxWorker } from './worker.ts';
export type { InboxWorker, InboxWorkerOptions } from './worker.ts';
