/**
 * Retention: deletes the data of finished entries, events, dead letters and alerts, batch by batch. A run can be killed at
 * any moment; the next run continues from there.
 *
 * @module
 */
import type { Pool } from 'pg';
import { ConfigurationError } from '../core/errors.ts';
import type { Queryable } from '../platform/queryable.ts';
import { checkSchema } from '../store/migrate.ts';
import { FIRST_ID, RetentionWalk } from './table-walk.ts';
import type { AgedRow, PruneCounts, PruneStep, WalkOptions } from './table-walk.ts';
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
  /** Deletes payload, metadata, result and failure texts of completed entries whose `processed_at` is older than this. */
  completedOlderThanMs: number;
  /** Deletes outbox rows that were published longer ago than this. Default: deletes none. */
  outboxOlderThanMs?: number;
  /**
   * For dead letters that were resolved longer ago than this: deletes replayed ones and empties discarded ones. Also deletes
   * alerts that ended longer ago. Default: touches none.
   */
  deadLettersOlderThanMs?: number;
}

export interface PruneReport extends PruneCounts {
  dryRun: boolean;
  /** True if the signal ended the run before everything was pruned. */
  interrupted: boolean;
}

const DAY_MS = 86_400_000;
const MAX_AGE_MS = 36_500 * DAY_MS;
/** Longer than any transaction stays open: a row's id has the time when the row was written, not when it was committed. */
const MARK_LAG_MS = DAY_MS;

/**
 * Prunes everything that is due when the run starts. Runs may overlap; each row is pruned and counted by one of them.
 *
 * @throws ConfigurationError for invalid options
 * @throws SchemaError if the database was not migrated
 */
export async function prune(pool: Pool, options: PruneOptions): Promise<PruneReport> {
  checkOptions(options);
  await checkSchema(pool);
  const run = new RetentionWalk(pool, options);
  const completed = await dueSince(pool, options.completedOlderThanMs);
  const mark = await findSettledMark(pool);
  await pruneLeftBehind(run, completed, mark);
  await pruneUnread(run, completed, mark, (await dueSince(pool, MARK_LAG_MS)).below);
  for (const { step, age, readPage, prunePage } of WHOLE_TABLE_STEPS) {
    const ageMs = options[age];
    if (ageMs === undefined) continue;
    const due = await dueSince(pool, ageMs);
    await run.walk({
      step,
      from: FIRST_ID,
      to: due.below,
      readPage: (db, after, limit) => readPage(db, due, after, limit),
      prunePage: (tx, _page, dueIds) => prunePage(tx, due, dueIds),
    });
  }
  return { ...run.counts, dryRun: options.dryRun ?? false, interrupted: run.interrupted };
}

/** A step that walks through a whole table. Entries have separate steps, because a mark remembers which are settled. */
interface WholeTableStep {
  step: PruneStep;
  /** The option with the age of the rows to prune. Without it, the step is skipped. */
  age: 'deadLettersOlderThanMs' | 'outboxOlderThanMs';
  readPage: (db: Queryable, due: Due, after: string, limit: number) => Promise<AgedRow[]>;
  /** Returns how many rows it pruned. */
  prunePage: (tx: Queryable, due: Due, dueIds: string[]) => Promise<number>;
}

const WHOLE_TABLE_STEPS: readonly WholeTableStep[] = [
  {
    step: 'deadLetters',
    age: 'deadLettersOlderThanMs',
    readPage: walkResolvedLetters,
    prunePage: async (tx, _due, ids) =>
      (await deleteReplayedLetters(tx, ids)) + (await pruneDiscarded(tx, ids)),
  },
  { step: 'alerts', age: 'deadLettersOlderThanMs', readPage: walkAlerts, prunePage: deleteAlerts },
  { step: 'outbox', age: 'outboxOlderThanMs', readPage: walkOutbox, prunePage: deletePublished },
];

/** Prunes entries that earlier runs had to leave behind, for example because they were still open. */
function pruneLeftBehind(run: RetentionWalk, due: Due, mark: string): Promise<void> {
  return run.walk({
    step: 'entries',
    from: FIRST_ID,
    to: mark,
    readPage: (db, after, limit) => walkEntriesLeft(db, due, after, limit),
    async prunePage(tx, page, dueIds) {
      const pruned = await pruneEntries(tx, due, dueIds);
      const settled = page.filter((entry) => entry.settled).map(({ id }) => id);
      await forgetLeft(tx, [...pruned, ...settled]);
      return pruned.length;
    },
  });
}

/** Prunes entries that no run has read yet. */
function pruneUnread(run: RetentionWalk, due: Due, mark: string, latestMark: string): Promise<void> {
  return run.walk({
    step: 'entries',
    from: mark,
    to: due.below,
    readPage: (db, after, limit) => walkEntries(db, due, after, limit),
    async prunePage(tx, page, dueIds) {
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

function checkOptions(options: PruneOptions): void {
  for (const name of ['completedOlderThanMs', 'outboxOlderThanMs', 'deadLettersOlderThanMs'] as const) {
    const age = options[name];
    if (age === undefined && name !== 'completedOlderThanMs') continue;
    if (age === undefined || !Number.isInteger(age) || age < 0 || age > MAX_AGE_MS) {
      throw new ConfigurationError(`${name}: ${age} is not a whole number of ms from 0 to 100 years`);
    }
  }
  const { batchSize = 1 } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1 || batchSize > 10_000) {
    throw new ConfigurationError(`batchSize: ${batchSize} is not a whole number from 1 to 10000`);
  }
}
