/**
 * `inbox.failures`: attempts that failed. Each statement here runs in its own transaction and does nothing if the attempt
 * is no longer the current one.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { JsonObject } from '../core/json.ts';
import type { Entry } from './entries.ts';
import { ENTRY_COLUMNS } from './entries.ts';
import { NOTIFY_QUEUE_HAS_ROOM } from './notifications.ts';

/** A failed attempt, as it is recorded. */
export interface FailedAttempt {
  messageId: string;
  attempt: number;
  errorType: string;
  /** `Type: message`, at most 4 KB of UTF-8. */
  error: string;
  stack: string | null;
  /** True if the failure itself was transient. The last failure of an exhausted command is transient too. */
  retryable: boolean;
  worker: string;
  buildId: string | null;
}

/** A row of `inbox.failures`. */
export interface Failure {
  generation: number;
  attempt: number;
  failedAt: Date;
  errorType: string;
  error: string;
  stack: string | null;
  retryable: boolean;
  nextRetryAt: Date | null;
  worker: string | null;
  buildId: string | null;
}

const INSERT_FAILURE = `
  insert into inbox.failures
    (message_id, generation, attempt, error_type, error, stack, retryable, next_retry_at, worker, build_id)`;

/**
 * Marks an entry that needs a workflow. The process that recorded the failure starts the workflow; if it doesn't, the
 * reconciler does.
 */
const HAND_OVER = (wanted: string) => `
  needs_workflow = e.needs_workflow or ${wanted},
  relayed_at = case when ${wanted} then now() else e.relayed_at end`;

/**
 * Sets the entry to `Failed`, to be retried after the delay by the database's clock. Returns null if the attempt is
 * stale.
 *
 * @param handOver - the attempt had no workflow, and its entry needs one now
 */
export async function recordTransientFailure(
  db: Queryable,
  failure: FailedAttempt,
  delayMs: number,
  handOver: boolean,
): Promise<Entry | null> {
  const { rows } = await db.query<Entry>(
    `with failed as (
       update inbox.entries e
       set status = 'Failed', retry_count = retry_count + 1, error = $4,
           next_retry_at = now() + $9::float8 * interval '1 millisecond', ${HAND_OVER('$10')}
       where message_id = $1 and attempt = $2 and status::text = 'Processing'
       returning *),
     noted as (${INSERT_FAILURE}
       select message_id, generation, attempt, $3, $4, $5, $6, next_retry_at, $7, $8 from failed)
     select ${ENTRY_COLUMNS} from failed`,
    [...parameters(failure), delayMs, handOver],
  );
  return rows[0] ?? null;
}

/** Why an entry becomes a dead letter, in addition to its failure. */
export interface DeadLetterCause {
  reason: 'unrecoverable' | 'exhausted';
  failureGroup: string;
  details: JsonObject | null;
}

/**
 * Sets the entry to `DeadLetter`, with its row in dead_letters and an outbox event that announces it. Returns null if the
 * attempt is stale. Notifies a sender that waits for the result. The event does not contain the command's payload,
 * because logins that may read events are not necessarily allowed to read commands.
 */
export async function recordDeadLetter(
  db: Queryable,
  failure: FailedAttempt,
  cause: DeadLetterCause,
  handOver: boolean,
): Promise<Entry | null> {
  const { rows } = await db.query<Entry>(
    `with dead as (
       update inbox.entries e
       set status = 'DeadLetter', retry_count = retry_count + 1, error = $4, ${HAND_OVER('$11')}
       where message_id = $1 and attempt = $2 and status::text = 'Processing'
       returning *),
     noted as (${INSERT_FAILURE}
       select message_id, generation, attempt, $3, $4, $5, $6, null, $7, $8 from dead),
     letter as (
       insert into inbox.dead_letters
         (message_id, generation, command_type, payload, correlation_id, causation_id, metadata, error_type, error,
          failure_group, reason, retry_count, build_id, details)
       select message_id, generation, command_type, payload, correlation_id, causation_id, metadata, $3, $4,
              $10, $9, retry_count, $8, $12::jsonb
       from dead
       returning *),
     event as (
       insert into inbox.outbox (aggregatetype, aggregateid, type, payload, message_id)
       select 'inbox', message_id, 'CommandDeadLettered',
              jsonb_build_object('deadLetterId', id, 'messageId', message_id, 'commandType', command_type,
                'generation', generation, 'reason', reason, 'errorType', error_type, 'failureGroup', failure_group),
              message_id
       from letter),
     told as materialized (
       select pg_notify(reply_to, message_id) from dead where reply_to is not null and ${NOTIFY_QUEUE_HAS_ROOM})
     select ${ENTRY_COLUMNS}, (select count(*) from told) as told from dead`,
    [
      ...parameters(failure),
      cause.reason,
      cause.failureGroup,
      handOver,
      cause.details && JSON.stringify(cause.details),
    ],
  );
  return rows[0] ?? null;
}

function parameters(failure: FailedAttempt): unknown[] {
  return [
    failure.messageId,
    failure.attempt,
    failure.errorType,
    failure.error,
    failure.stack,
    failure.retryable,
    failure.worker,
    failure.buildId,
  ];
}

/** All failed attempts of a message, oldest first. */
export async function listFailures(db: Queryable, messageId: string): Promise<Failure[]> {
  const { rows } = await db.query<Failure>(
    `select generation, attempt, failed_at as "failedAt", error_type as "errorType", error, stack, retryable,
            next_retry_at as "nextRetryAt", worker, build_id as "buildId"
     from inbox.failures where message_id = $1 order by attempt`,
    [messageId],
  );
  return rows;
}
