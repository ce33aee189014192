/**
 * What operators look at: entries, one message's whole story, counts.
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
import { tellStory } from './timeline.ts';
import type { Happening } from './timeline.ts';

const DEFAULT_LIMIT = 100;

export interface EntryStory {
  entry: Entry;
  failures: Failure[];
  deadLetters: DeadLetter[];
  audit: AuditLine[];
  /** What it emitted and is still in the outbox. */
  events: EmittedEvent[];
  /** All of this, in order. */
  story: Happening[];
  /** What caused it and what it caused. */
  related: RelatedMessage[];
  /** Other messages with the same correlation_id. */
  flow: number;
}

export interface InboxStats {
  entries: StatusCount[];
  openDeadLetters: FailureCount[];
  /** Of the last 1, 15 and 60 minutes. */
  rates: Rates[];
  oldest: Oldest;
  /** The workers seen in the last 30 s. */
  workers: LiveWorker[];
  /** Open commands of types that none of them knows. */
  unknownTypes: UnknownType[];
  /** Aggregates of which the broker rejects an event. */
  parked: ParkedSummary;
}

/** Entries, newest first. */
export function list(pool: Pool, filter: EntryFilter): Promise<Entry[]> {
  return listEntries(pool, filter);
}

/**
 * All that is known of one message.
 *
 * @throws UnknownMessageError, InvalidMessageError
 */
export async function show(pool: Pool, messageId: string): Promise<EntryStory> {
  const entry = await existing(pool, messageId);
  const [failures, letters, audit, events, related, flow] = await Promise.all([
    listFailures(pool, messageId),
    listDeadLetters(pool, messageId),
    listAudit(pool, messageId),
    emitted(pool, entry),
    findRelatedMessages(pool, messageId),
    countFlow(pool, messageId, entry.correlationId),
  ]);
  const rows = { entry, failures, deadLetters: letters, audit, events };
  return { ...rows, story: tellStory(rows), related, flow };
}

/** Nearly all attempts take a moment; only for those that do not is more looked through. */
async function emitted(pool: Pool, { messageId, processedAt }: Entry): Promise<EmittedEvent[]> {
  if (processedAt === null) return [];
  const soon = await findEvents(pool, messageId, processedAt, 70_000);
  return soon.length > 0 ? soon : findEvents(pool, messageId, processedAt, 3_700_000);
}

export interface DeadLetterQuery extends DeadLetterFilter {
  /** Default `open`: those that wait for a person. */
  state?: ResolutionState;
  /** At most so many. Default 100. */
  limit?: number;
  /** The next page: those before the dead letter with this id. */
  before?: string;
}

/** Dead letters by their cause, the most frequent first. */
export function failureGroups(pool: Pool, query: DeadLetterQuery = {}): Promise<FailureGroup[]> {
  return findFailureGroups(pool, query, query.state ?? 'open', query.limit ?? DEFAULT_LIMIT);
}

/** Dead letters, newest first. */
export function deadLetters(pool: Pool, query: DeadLetterQuery = {}): Promise<DeadLetter[]> {
  const { state = 'open', limit = DEFAULT_LIMIT, before = null } = query;
  return findDeadLetters(pool, query, state, { before, limit });
}

/**
 * Every dead letter of a message, oldest first; or the one with this id, which events and alerts name. Where an id is both,
 * it is the message's.
 *
 * @throws UnknownMessageError, InvalidMessageError
 */
export async function deadLettersOf(pool: Pool, id: string): Promise<DeadLetter[]> {
  const entry = await findEntry(pool, checkMessageId(id));
  if (entry) return listDeadLetters(pool, id);
  const letter = isUuid(id) ? await findDeadLetter(pool, id) : null;
  if (!letter) throw new UnknownMessageError(id);
  return [letter];
}

export interface StatsOptions {
  /** Counts every entry, however many there are. Default: of more than 200,000 the Completed ones are estimated. */
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
 * The entry of a message.
 *
 * @throws UnknownMessageError, InvalidMessageError
 */
export async function existing(pool: Pool, messageId: string): Promise<Entry> {
  const entry = await findEntry(pool, checkMessageId(messageId));
  if (!entry) throw new UnknownMessageError(messageId);
  return entry;
}
