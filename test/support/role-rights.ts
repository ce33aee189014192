/**
 * Everything that the roles of the inbox may do. A test compares it with the database.
 *
 * @module
 */
import type { ROLES } from '../../src/store/roles.ts';

export type Role = (typeof ROLES)[number];
export type Operation = 'select' | 'insert' | 'update' | 'delete' | 'truncate';

/**
 * Everything that each role may do with each table; rights on single columns are in {@link COLUMN_RIGHTS}. The test fails
 * for a table that is missing here, and for any further right.
 */
export const TABLE_RIGHTS: Record<string, Partial<Record<Role, Operation[]>>> = {
  entries: { inbox_worker: ['select'], inbox_operator: ['select'], inbox_reader: ['select'] },
  failures: { inbox_worker: ['insert'], inbox_operator: ['select'], inbox_reader: ['select'] },
  dead_letters: { inbox_worker: ['select'], inbox_operator: ['select'], inbox_reader: ['select'] },
  outbox: { inbox_worker: ['select'], inbox_operator: ['select'], inbox_reader: ['select'] },
  outbox_lease: { inbox_worker: ['select', 'insert'], inbox_operator: ['select'], inbox_reader: ['select'] },
  metrics_lease: { inbox_worker: ['select', 'insert'], inbox_operator: ['select'], inbox_reader: ['select'] },
  outbox_parked: { inbox_worker: ['select', 'insert'], inbox_operator: ['select'], inbox_reader: ['select'] },
  audit: { inbox_operator: ['select'], inbox_reader: ['select'] },
  migrations: {
    inbox_sender: ['select'],
    inbox_worker: ['select'],
    inbox_operator: ['select'],
    inbox_reader: ['select'],
  },
  workers: { inbox_worker: ['select', 'insert'], inbox_operator: ['select'], inbox_reader: ['select'] },
  command_types: { inbox_worker: ['select'], inbox_operator: ['select'], inbox_reader: ['select'] },
  identity: { inbox_worker: ['select'], inbox_operator: ['select'], inbox_reader: ['select'] },
  retention: { inbox_operator: ['select'], inbox_reader: ['select'] },
  retention_left: { inbox_operator: ['select'], inbox_reader: ['select'] },
  campaigns: { inbox_worker: ['select'], inbox_operator: ['select'], inbox_reader: ['select'] },
  campaign_items: { inbox_worker: ['select'], inbox_operator: ['select'], inbox_reader: ['select'] },
  alerts: { inbox_worker: ['select'], inbox_operator: ['select'], inbox_reader: ['select'] },
  dry_run: { inbox_operator: ['select', 'insert'] },
  sender_limits: { inbox_operator: ['select'] },
  turns: { inbox_operator: ['select'] },
};

/** The columns that a role may write in tables where it may not write the whole row. */
export const COLUMN_RIGHTS: Record<string, string[]> = {
  // Needed by workers of earlier releases.
  'inbox_worker insert entries': [
    'attempt',
    'causation_id',
    'claimed_at',
    'command_type',
    'correlation_id',
    'fingerprint',
    'message_id',
    'metadata',
    'payload',
    'relayed_at',
    'reply_to',
    'status',
  ],
  'inbox_worker update entries': [
    'attempt',
    'claimed_at',
    'error',
    'given_back',
    'interruptions',
    'needs_workflow',
    'next_retry_at',
    'processed_at',
    'relayed_at',
    'result',
    'retry_count',
    'status',
  ],
  'inbox_worker insert dead_letters': [
    'build_id',
    'causation_id',
    'command_type',
    'correlation_id',
    'details',
    'error',
    'error_type',
    'failure_group',
    'generation',
    'message_id',
    'metadata',
    'payload',
    'reason',
    'retry_count',
  ],
  'inbox_worker update dead_letters': ['alert_id'],
  'inbox_worker insert outbox': [
    'aggregateid',
    'aggregatetype',
    'created_at',
    'message_id',
    'metadata',
    'payload',
    'type',
  ],
  'inbox_worker update metrics_lease': ['holder', 'name', 'until'],
  'inbox_worker update outbox': ['parked', 'published_at'],
  'inbox_worker update outbox_lease': ['holder', 'name', 'position', 'until'],
  'inbox_worker update outbox_parked': ['attempts', 'error', 'event_id', 'failed_at', 'next_try_at'],
  'inbox_worker update campaigns': ['completed', 'failed', 'skipped'],
  'inbox_worker update campaign_items': ['asked_at', 'outcome', 'settled_at'],
  'inbox_worker insert alerts': [
    'command_type',
    'count',
    'error_type',
    'failure_group',
    'first_dead_at',
    'last_dead_at',
    'message_ids',
    'waiting',
  ],
  'inbox_worker update alerts': [
    'due_at',
    'ended_at',
    'first_tried_at',
    'given_up',
    'last_error',
    'tries',
    'waiting',
  ],
  'inbox_worker update workers': ['seen_at'],
  'inbox_worker insert command_types': ['command_type'],
  'inbox_operator insert campaigns': [
    'actor',
    'canary',
    'concurrency',
    'filter',
    'rate',
    'reason',
    'stop_above',
    'total',
  ],
  'inbox_operator insert campaign_items': [
    'campaign_id',
    'dead_letter_id',
    'generation',
    'message_id',
    'position',
  ],
};

/** The columns that a reader cannot see in the tables that it may read. */
export const HIDDEN_FROM_READERS: Record<string, string[]> = {
  entries: ['payload', 'metadata', 'result', 'error', 'fingerprint', 'reply_to'],
  failures: ['error', 'stack'],
  dead_letters: ['payload', 'metadata', 'error', 'details'],
  outbox: ['payload', 'metadata'],
  outbox_parked: ['aggregate_key', 'error'],
  audit: ['details'],
  alerts: ['last_error'],
};

const senders: Role[] = ['inbox_sender', 'inbox_worker'];
export const FUNCTION_RIGHTS: Record<string, Role[]> = {
  send: senders,
  send_messages: senders,
  send_unblocked: senders,
  known_messages: senders,
  settled_entries: senders,
  settled_messages: senders,
  entry_of: [...senders, 'inbox_operator'],
  insert_and_claim: ['inbox_worker'],
  fingerprint: ['inbox_worker'],
  transaction_ended: ['inbox_worker'],
  new_id: ['inbox_worker', 'inbox_operator'],
  is_owner: ['inbox_worker', 'inbox_operator'],
  lost_attempts: ['inbox_worker', 'inbox_operator'],
  replay_dead_letter: ['inbox_worker'],
  discard_dead_letter: ['inbox_worker'],
  change_campaign: ['inbox_worker'],
  try_turn: ['inbox_worker'],
  remove_workers: ['inbox_worker'],
  remove_parked: ['inbox_worker'],
  restore_dead_letter: ['inbox_operator'],
  release_parked: ['inbox_operator'],
  skip_event: ['inbox_operator'],
  lock_retention: ['inbox_operator'],
  move_settled_mark: ['inbox_operator'],
  empty_failures: ['inbox_operator'],
  prune_entries: ['inbox_operator'],
  prune_discarded: ['inbox_operator'],
  delete_replayed: ['inbox_operator'],
  delete_published: ['inbox_operator'],
  delete_alerts: ['inbox_operator'],
  note_left: ['inbox_operator'],
  forget_left: ['inbox_operator'],
};
