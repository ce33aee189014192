/**
 * Walks through a table for a retention run, page by page along the primary key. Each page is read without a lock and pruned
 * in one short transaction.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool, PoolClient } from 'pg';
import type { Queryable } from '../platform/queryable.ts';
import { withTransaction } from '../platform/postgres.ts';
import { emptyFailures, lockRetention } from '../store/retention.ts';

export interface WalkOptions {
  /** The most rows that one statement touches, 1 to 10,000. Default 1,000. */
  batchSize?: number;
  /** Pause between two batches in ms, so that replicas and autovacuum can keep up. Default 0. */
  pauseMs?: number;
  /** Counts what would be pruned and changes nothing. */
  dryRun?: boolean;
  onProgress?: (progress: PruneProgress) => void;
  /** Ends the run after the current batch. */
  signal?: AbortSignal;
}

export type PruneStep = 'entries' | 'deadLetters' | 'alerts' | 'outbox';

/** Rows that were pruned, or would be pruned in a dry run. */
export type PruneCounts = Record<PruneStep, number>;

export interface PruneProgress {
  step: PruneStep;
  counts: PruneCounts;
  /** How much of this step's time span is done, 0 to 1. */
  fraction: number;
}

/** Lower than every id. */
export const FIRST_ID = '00000000-0000-0000-0000-000000000000';

export interface AgedRow {
  id: string;
  due: boolean;
  /** Set if the failures of this message are emptied along with the row. */
  messageId?: string | null;
}

export interface Walk<R extends AgedRow> {
  step: PruneStep;
  /** The walk starts above this id. */
  from: string;
  /** The approximate last id, for the progress only: `readPage` decides where the walk ends. */
  to: string;
  readPage: (db: Queryable, after: string, limit: number) => Promise<R[]>;
  /**
   * Prunes the rows of a page that are due, and records how far the walk has come.
   *
   * @returns how many rows it pruned
   */
  prunePage: (tx: PoolClient, page: R[], dueIds: string[]) => Promise<number>;
}

export class RetentionWalk {
  readonly counts: PruneCounts = { entries: 0, deadLetters: 0, alerts: 0, outbox: 0 };
  interrupted = false;
  readonly #pool: Pool;
  readonly #options: WalkOptions;
  readonly #limit: number;

  constructor(pool: Pool, options: WalkOptions) {
    this.#pool = pool;
    this.#options = options;
    this.#limit = options.batchSize ?? 1_000;
  }

  async walk<R extends AgedRow>(walk: Walk<R>): Promise<void> {
    const { signal, pauseMs } = this.#options;
    let after = walk.from;
    let first: string | undefined;
    for (;;) {
      this.interrupted ||= signal?.aborted ?? false;
      if (this.interrupted) return;
      const page = await walk.readPage(this.#pool, after, this.#limit);
      if (page.length === 0) return;
      this.counts[walk.step] += await this.#prunePage(walk, page);
      first ??= page[0]!.id;
      after = page.at(-1)!.id;
      this.#report(walk.step, first, after, walk.to);
      if (pauseMs) await sleep(pauseMs, undefined, signal ? { signal } : {}).catch(() => {});
    }
  }

  async #prunePage<R extends AgedRow>(walk: Walk<R>, page: R[]): Promise<number> {
    const due = page.filter((row) => row.due);
    if (this.#options.dryRun) return due.length;
    // Failures come before their entries: if the process is killed in between, the next run finds the entries still due.
    await this.#emptyFailures(due.flatMap(({ messageId }) => messageId ?? []));
    return withTransaction(this.#pool, async (tx) => {
      await lockRetention(tx);
      return walk.prunePage(
        tx,
        page,
        due.map(({ id }) => id),
      );
    });
  }

  /** An entry can have thousands of failures, so they are emptied in separate batches. */
  async #emptyFailures(messageIds: string[]): Promise<void> {
    if (messageIds.length === 0) return;
    let emptied: number;
    do emptied = await emptyFailures(this.#pool, messageIds, this.#limit);
    while (emptied > 0);
  }

  #report(step: PruneStep, first: string, last: string, to: string): void {
    const span = timeOf(to) - timeOf(first);
    const fraction = span > 0 ? Math.min(1, (timeOf(last) - timeOf(first)) / span) : 1;
    this.#options.onProgress?.({ step, counts: { ...this.counts }, fraction });
  }
}

/** The time in ms that a UUIDv7 starts with. */
function timeOf(id: string): number {
  return Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16);
}
