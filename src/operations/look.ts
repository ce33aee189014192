/**
 * What operators look at: entries, one message's whole story, counts.
 *
 * @module
 */
import type { Pool } from 'pg';
import { checkMessageId } from '../envelope.ts';
import { UnknownMessageError } from '../errors.ts';
import type { DeadLetter } from '../store/dead-letters.ts';
import { listDeadLetters } from '../store/dead-letters.ts';
import type { Entry } from '../store/entries.ts';
import { findEntry } from '../store/entries.ts';
import type { Failure } from '../store/failures.ts';
import { listFailures } from '../store/failures.ts';
import type { AuditLine, EntryFilter, FailureCount, StatusCount } from '../store/reports.ts';
import { countEntries, countOpenDeadLetters, listAudit, listEntries } from '../store/reports.ts';

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
  const [failures, deadLetters, audit] = await Promise.all([
    listFailures(pool, messageId),
    listDeadLetters(pool, messageId),
    listAudit(pool, messageId),
  ]);
  return { entry, failures, deadLetters, audit };
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
