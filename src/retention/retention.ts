/**
 * Retention: takes the data of what is over, batch by batch. A run may be killed at any moment; the next one goes on
 * where it was.
 *
 * @module
 */
import type { Pool } from 'pg';
import { ConfigurationError } from '../core/errors.ts';
import { checkSchema } from '../store/migrate.ts';
import { FIRST_ID, RetentionWalk } from './table-walk.ts';
import type { PruneCounts, WalkOptions } from './table-walk.ts';
import { deleteAlerts, walkAlerts } from '../store/alerts.ts';
import {
  dueSince,
  findSettledMark,
  forgetLeft,
  moveSettledMark,
  noteLeft,
  pruneEntries,
  walkEntries,
  walkEntriesLeft,
} from '../store/retention.ts';
import type { Due } from '../store/retention.ts';
import {
  deletePublished,
  deleteReplayedLetters,
  pruneDiscarded,
  walkOutbox,
  walkResolvedLetters,
} from '../store/retention-others.ts';

export interface PruneOptions extends WalkOptions {
  /** Completed entries whose `processed_at` is older lose payload, metadata, result and the texts of their failures. */
  completedOlderThanMs: number;
  /** Outbox rows that were published longer ago are deleted. Not set: none. */
  outboxOlderThanMs?: number;
  /**
   * Dead letters that were resolved longer ago: replayed ones are deleted, discarded ones emptied. Alerts that were
   * over longer ago are deleted. Not set: none.
   */
  deadLettersOlderThanMs?: number;
}

export interface PruneReport extends PruneCounts {
  dryRun: boolean;
  /** The signal came before all was done. */
  interrupted: boolean;
}

const DAY_MS = 86_400_000;
const MAX_AGE_MS = 36_500 * DAY_MS;
/** Further back than any transaction stays open: a row has its id from when it was written, not from its commit. */
const MARK_LAG_MS = DAY_MS;

/**
 * Prunes everything that is due when it starts. Runs may overlap; what one has taken the other does not count.
 *
 * @throws ConfigurationError for options that make no sense, SchemaError when the database was not migrated
 */
export async function prune(pool: Pool, options: PruneOptions): Promise<PruneReport> {
  checkOptions(options);
  await checkSchema(pool);
  const { completedOlderThanMs, deadLettersOlderThanMs, outboxOlderThanMs } = options;
  const run = new RetentionWalk(pool, options);
  const completed = await dueSince(pool, completedOlderThanMs);
  const mark = await findSettledMark(pool);
  await pruneLeft(run, completed, mark);
  await pruneNext(run, completed, mark, (await dueSince(pool, MARK_LAG_MS)).below);
  if (deadLettersOlderThanMs !== undefined) {
    await pruneDeadLetters(run, await dueSince(pool, deadLettersOlderThanMs));
    await pruneAlerts(run, await dueSince(pool, deadLettersOlderThanMs));
  }
  if (outboxOlderThanMs !== undefined) await pruneOutbox(run, await dueSince(pool, outboxOlderThanMs));
  return { ...run.counts, dryRun: options.dryRun ?? false, interrupted: run.interrupted };
}

/** What earlier runs had to leave behind. */
function pruneLeft(run: RetentionWalk, due: Due, mark: string): Promise<void> {
  return run.walk({
    step: 'entries',
    from: FIRST_ID,
    to: mark,
    read: (db, after, limit) => walkEntriesLeft(db, due, after, limit),
    async take(tx, page, dueIds) {
      const pruned = await pruneEntries(tx, due, dueIds);
      const settled = page.filter((entry) => entry.settled).map(({ id }) => id);
      await forgetLeft(tx, [...pruned, ...settled]);
      return pruned.length;
    },
  });
}

/** What no run has looked at. */
function pruneNext(run: RetentionWalk, due: Due, mark: string, latestMark: string): Promise<void> {
  return run.walk({
    step: 'entries',
    from: mark,
    to: due.below,
    read: (db, after, limit) => walkEntries(db, due, after, limit),
    async take(tx, page, dueIds) {
      const pruned = await pruneEntries(tx, due, dueIds);
      const last = page.at(-1)!.id;
      const settledTo = last < latestMark ? last : latestMark;
      const unsettled = page.filter((entry) => !entry.settled).map(({ id }) => id);
      await noteLeft(tx, unsettled, settledTo);
      await moveSettledMark(tx, settledTo);
      return pruned.length;
    },
  });
}

function pruneDeadLetters(run: RetentionWalk, due: Due): Promise<void> {
  return run.walk({
    step: 'deadLetters',
    from: FIRST_ID,
    to: due.below,
    read: (db, after, limit) => walkResolvedLetters(db, due, after, limit),
    async take(tx, _page, dueIds) {
      return (await deleteReplayedLetters(tx, dueIds)) + (await pruneDiscarded(tx, dueIds));
    },
  });
}

function pruneAlerts(run: RetentionWalk, due: Due): Promise<void> {
  return run.walk({
    step: 'alerts',
    from: FIRST_ID,
    to: due.below,
    read: (db, after, limit) => walkAlerts(db, due, after, limit),
    take: (tx, _page, dueIds) => deleteAlerts(tx, due, dueIds),
  });
}

function pruneOutbox(run: RetentionWalk, due: Due): Promise<void> {
  return run.walk({
    step: 'outbox',
    from: FIRST_ID,
    to: due.below,
    read: (db, after, limit) => walkOutbox(db, due, after, limit),
    take: (tx, _page, dueIds) => deletePublished(tx, due, dueIds),
  });
}

function checkOptions(options: PruneOptions): void {
  for (const name of ['completedOlderThanMs', 'outboxOlderThanMs', 'deadLettersOlderThanMs'] as const) {
    const age = options[name];
    if (age === undefined && name !== 'completedOlderThanMs') continue;
    if (age === undefined || !Number.isInteger(age) || age < 0 || age > MAX_AGE_MS) {
      throw new ConfigurationError(`${name}: ${age} is no whole number of ms between 0 and 100 years`);
    }
  }
  const { batchSize = 1 } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > 10_000) {
    throw new ConfigurationError(`batchSize: ${batchSize} is no whole number from 1 to 10000`);
  }
}
