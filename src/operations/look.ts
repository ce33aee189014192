/**
 * What operators look at: entries, one message's whole story, counts.
 *
 * @module
 */
import type { Pool } from 'pg';
import { checkMessageId } from '../envelope.ts';
import { UnknownMessageError } from '../errors.ts';
import type { DeadLetterFilter } from '../store/dead-letter-filter.ts';
import { findDeadLetters, findFailureGroups } from '../store/dead-letter-reports.ts';
import type { FailureGroup, ResolutionState } from '../store/dead-letter-reports.ts';
import type { DeadLetter } from '../store/dead-letters.ts';
import { listDeadLetters } from '../store/dead-letters.ts';
import type { Entry } from '../store/entries.ts';
import { findEntry } from '../store/entries.ts';
import type { Failure } from '../store/failures.ts';
import { listFailures } from '../store/failures.ts';
import type { AuditLine, EntryFilter, FailureCount, StatusCount } from '../store/reports.ts';
import { countEntries, countOpenDeadLetters, listAudit, listEntries } from '../store/reports.ts';

const DEFAULT_LIMIT = 100;

export interface EntryStory {
  entry: Entry;
  failures: Failure[];
  deadLetters: DeadLetter[];
  audit: AuditLine[];
}

export interface InboxStats {
  entries: StatusCount[];
  openDeadLetters: FailureCount[];
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
  const [failures, letters, audit] = await Promise.all([
    listFailures(pool, messageId),
    listDeadLetters(pool, messageId),
    listAudit(pool, messageId),
  ]);
  return { entry, failures, deadLetters: letters, audit };
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

export async function stats(pool: Pool): Promise<InboxStats> {
  const [entries, openDeadLetters] = await Promise.all([countEntries(pool), countOpenDeadLetters(pool)]);
  return { entries, openDeadLetters };
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
