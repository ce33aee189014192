/**
 * The names of attributes, spans and metrics. They follow OpenTelemetry's semantic conventions for messaging and databases,
 * version 1.44, which were still in development: https://opentelemetry.io/docs/specs/semconv/messaging/
 *
 * @module
 */

/** The version of the conventions that the names below follow. */
export const SCHEMA_URL = 'https://opentelemetry.io/schemas/1.44.0';

/** The name of our tracer and our meter. */
export const SCOPE = 'temporal-inbox';

/** The value of `messaging.system`. */
export const MESSAGING_SYSTEM = 'temporal_inbox';

export const ATTRIBUTE = {
  system: 'messaging.system',
  operationName: 'messaging.operation.name',
  operationType: 'messaging.operation.type',
  destination: 'messaging.destination.name',
  consumerGroup: 'messaging.consumer.group.name',
  messageId: 'messaging.message.id',
  conversationId: 'messaging.message.conversation_id',
  batchCount: 'messaging.batch.message_count',
  errorType: 'error.type',
  databaseSystem: 'db.system.name',
  databaseOperation: 'db.operation.name',
  queryText: 'db.query.text',
  attempt: 'inbox.attempt',
  generation: 'inbox.generation',
  mode: 'inbox.mode',
  outcome: 'inbox.outcome',
  failureGroup: 'inbox.failure_group',
  causationId: 'inbox.causation_id',
  campaignId: 'inbox.campaign_id',
  eventType: 'inbox.event_type',
} as const;

export const METRIC = {
  operationDuration: 'messaging.client.operation.duration',
  sentMessages: 'messaging.client.sent.messages',
  consumedMessages: 'messaging.client.consumed.messages',
  processDuration: 'messaging.process.duration',
  attempts: 'inbox.attempts',
  criticalTime: 'inbox.critical_time',
  reconciled: 'inbox.reconciled',
  leaseExpired: 'inbox.relay.lease_expired',
  slots: 'inbox.slots',
  pool: 'inbox.pool',
  entries: 'inbox.entries',
  oldestAge: 'inbox.oldest.age',
  openDeadLetters: 'inbox.dead_letters.open',
  unpublished: 'inbox.outbox.unpublished',
  outboxAge: 'inbox.outbox.age',
  campaignItems: 'inbox.campaign.items',
  oldSnapshotAge: 'inbox.old_snapshot.age',
} as const;

/** The bucket boundaries of durations, in seconds, as the conventions recommend. */
export const DURATION_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
/** A command may wait for days between its receipt and its completion, so these buckets reach further. */
export const CRITICAL_TIME_BUCKETS_S = [...DURATION_BUCKETS_S, 30, 60, 300, 1_800, 7_200, 43_200, 86_400];
