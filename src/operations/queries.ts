/**
 * Read-only operations: lists of entries and dead letters, one message's history, statistics.
 *
 * @module
 */
import type { Pool } from 'pg';
import { checkMessageId } from '../commands/message-validation.ts';
import { UnknownMessageError } from '../core/errors.ts';
import type { DeadLetterFilter } from '../store/dead-letter-filter.ts';
import { findDeadLetters, findFailureGroups } from '../store/dead-letter-reports.ts';
import type { FailureGroup, ResolutionState } from '../store/dead-letter-reports.ts';
import type { DeadLetter } from '../store/dead-letters.ts';
import { findDeadLetter, listDeadLetters } from '../store/dead-letters.ts';
import type { Entry } from '../store/entries.ts';
import { findEntry } from '../store/entries.ts';
import { countEntries, countUnfinished, readEntryStatistics } from '../store/entry-counts.ts';
import type { StatusCount } from '../store/entry-counts.ts';
import type { Failure } from '../store/failures.ts';
import { listFailures } from '../store/failures.ts';
import { countFlow, findEvents, findRelatedMessages } from '../store/causation.ts';
import type { EmittedEvent, RelatedMessage } from '../store/causation.ts';
import { summarizeParked } from '../store/outbox-lag.ts';
import type { ParkedSummary } from '../store/outbox-lag.ts';
import { findOldest, readRates } from '../store/rates.ts';
import type { Oldest, Rates } from '../store/rates.ts';
import { countOpenDeadLetters, listAudit, listEntries } from '../store/reports.ts';
import type { AuditLine, EntryFilter, FailureCount } from '../store/reports.ts';
import { findUnknownTypes, listLiveWorkers } from '../store/workers.ts';
import type { LiveWorker, UnknownType } from '../store/workers.ts';
import { isUuid } from '../core/text.ts';
import { estimateEntries } from './estimate.ts';
import { buildTimeline } from './timeline.ts';
import type { TimelineItem } from './timeline.ts';

const DEFAULT_LIMIT = 100;

export interface EntryStory {
  entry: Entry;
  failures: Failure[];
  deadLetters: DeadLetter[];
  audit: AuditLine[];
  /** Events of this message that are still in the outbox. */
  events: EmittedEvent[];
  /** All of the above as a timeline, oldest first. */
  story: TimelineItem[];
  /** Its causes and effects. */
  related: RelatedMessage[];
  /** Number of other messages with the same correlation_id. */
  flow: number;
}

export interface InboxStats {
  entries: StatusCount[];
  openDeadLetters: FailureCount[];
  /** For the last 1, 15 and 60 minutes. */
  rates: Rates[];
  oldest: Oldest;
  /** The workers seen in the last 30 s. */
  workers: LiveWorker[];
  /** Open commands whose type none of these workers handles. */
  unknownTypes: UnknownType[];
  /** Aggregates with an event that the broker rejects. */
  parked: ParkedSummary;
}

/** Lists entries, newest first. */
export function list(pool: Pool, filter: EntryFilter): Promise<Entry[]> {
  return listEntries(pool, filter);
}

/**
 * Shows everything about one message.
 *
 * @throws UnknownMessageError when no entry has this message_id; InvalidMessageError when it is not a valid message_id
 */
export async function show(pool: Pool, messageId: string): Promise<EntryStory> {
  const entry = await requireEntry(pool, messageId);
  const [failures, letters, audit, events, related, flow] = await Promise.all([
    listFailures(pool, messageId),
    listDeadLetters(pool, messageId),
    listAudit(pool, messageId),
    findEmittedEvents(pool, entry),
    findRelatedMessages(pool, messageId),
    countFlow(pool, messageId, entry.correlationId),
  ]);
  const rows = { entry, failures, deadLetters: letters, audit, events };
  return { ...rows, story: buildTimeline(rows), related, flow };
}

/** Finds the events of a message. Searches a short time range first, because nearly all attempts are short. */
async function findEmittedEvents(pool: Pool, { messageId, processedAt }: Entry): Promise<EmittedEvent[]> {
  if (processedAt === null) return [];
  const recent = await findEvents(pool, messageId, processedAt, 70_000);
  return recent.length > 0 ? recent : findEvents(pool, messageId, processedAt, 3_700_000);
}

export interface DeadLetterQuery extends DeadLetterFilter {
  /** Default `open`: not yet replayed or discarded. */
  state?: ResolutionState;
  /** Maximum number of results. Default 100. */
  limit?: number;
  /** For the next page: only dead letters before the one with this id. */
  before?: string;
}

/** Counts dead letters by cause, most frequent first. */
export function failureGroups(pool: Pool, query: DeadLetterQuery = {}): Promise<FailureGroup[]> {
  return findFailureGroups(pool, query, query.state ?? 'open', query.limit ?? DEFAULT_LIMIT);
}

/** Lists dead letters, newest first. */
export function deadLetters(pool: Pool, query: DeadLetterQuery = {}): Promise<DeadLetter[]> {
  const { state = 'open', limit = DEFAULT_LIMIT, before = null } = query;
  return findDeadLetters(pool, query, state, { before, limit });
}

/**
 * Lists every dead letter of a message, oldest first, or the one dead letter with this id, which events and alerts contain.
 * If the id matches both, it is the message_id.
 *
 * @throws UnknownMessageError when the id matches neither; InvalidMessageError when it is not a valid message_id
 */
export async function deadLettersOf(pool: Pool, id: string): Promise<DeadLetter[]> {
  const entry = await findEntry(pool, checkMessageId(id));
  if (entry) return listDeadLetters(pool, id);
  const letter = isUuid(id) ? await findDeadLetter(pool, id) : null;
  if (!letter) throw new UnknownMessageError(id);
  return [letter];
}

export interface StatsOptions {
  /** Counts every entry. By default, Completed ones are estimated when there are more than 200,000 entries. */
  exact?: boolean;
}

export async function stats(pool: Pool, { exact = false }: StatsOptions = {}): Promise<InboxStats> {
  const [entries, openDeadLetters, rates, oldest, workers, unknownTypes, parked] = await Promise.all([
    exact ? countEntries(pool) : countCheaply(pool),
    countOpenDeadLetters(pool),
    readRates(pool),
    findOldest(pool),
    listLiveWorkers(pool),
    findUnknownTypes(pool),
    summarizeParked(pool),
  ]);
  return { entries, openDeadLetters, rates, oldest, workers, unknownTypes, parked };
}

async function countCheaply(pool: Pool): Promise<StatusCount[]> {
  const [statistics, unfinished] = await Promise.all([readEntryStatistics(pool), countUnfinished(pool)]);
  return estimateEntries(statistics, unfinished) ?? countEntries(pool);
}

/**
 * Finds the entry of a message.
 *
 * @throws UnknownMessageError when no entry has this message_id; InvalidMessageError when it is not a valid message_id
 */
export async function requireEntry(pool: Pool, messageId: string): Promise<Entry> {
  const entry = await findEntry(pool, checkMessageId(messageId));
  if (!entry) throw new UnknownMessageError(messageId);
  return entry;
}
