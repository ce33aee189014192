/**
 * How a retention run goes along a table: page by page of a primary key, each page read without a lock and taken in one
 * short transaction.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool, PoolClient } from 'pg';
import type { Queryable } from '../platform/queryable.ts';
import { withTransaction } from '../platform/postgres.ts';
import { emptyFailures, lockRetention } from '../store/retention.ts';

export interface WalkOptions {
  /** Rows that one statement touches at most, 1 to 10,000. Default 1,000. */
  batchSize?: number;
  /** Rest between two batches, for replicas and autovacuum to keep up, in ms. Default 0. */
  pauseMs?: number;
  /** Counts what would go, and changes nothing. */
  dryRun?: boolean;
  onProgress?: (progress: PruneProgress) => void;
  /** Ends the run after the batch at hand. */
  signal?: AbortSignal;
}

export type PruneStep = 'entries' | 'deadLetters' | 'alerts' | 'outbox';

/** Rows that went, or would go. */
export type PruneCounts = Record<PruneStep, number>;

export interface PruneProgress {
  step: PruneStep;
  counts: PruneCounts;
  /** Of this step's time span, 0 to 1. */
  fraction: number;
}

/** Below every id that there is. */
export const FIRST_ID = '00000000-0000-0000-0000-000000000000';

interface Row {
  id: string;
  due: boolean;
  /** Of rows whose failures go with them. */
  messageId?: string | null;
}

export interface Walk<R extends Row> {
  step: PruneStep;
  /** Ids above this one … */
  from: string;
  /** … and about up to here: for the progress only, `read` knows where it ends. */
  to: string;
  read: (db: Queryable, after: string, limit: number) => Promise<R[]>;
  /** Takes what is due of a page, and writes down how far the walk has come; how many it took. */
  take: (tx: PoolClient, page: R[], dueIds: string[]) => Promise<number>;
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

  async walk<R extends Row>(walk: Walk<R>): Promise<void> {
    const { signal, pauseMs } = this.#options;
    let after = walk.from;
    let first: string | undefined;
    for (;;) {
      this.interrupted ||= signal?.aborted ?? false;
      if (this.interrupted) return;
      const page = await walk.read(this.#pool, after, this.#limit);
      if (page.length === 0) return;
      this.counts[walk.step] += await this.#take(walk, page);
      first ??= page[0]!.id;
      after = page.at(-1)!.id;
      this.#report(walk.step, first, after, walk.to);
      if (pauseMs) await sleep(pauseMs, undefined, signal ? { signal } : {}).catch(() => {});
    }
  }

  async #take<R extends Row>(walk: Walk<R>, page: R[]): Promise<number> {
    const due = page.filter((row) => row.due);
    if (this.#options.dryRun) return due.length;
    // Before their entries: a run that is killed in between finds the entries due again.
    await this.#emptyFailures(due.flatMap(({ messageId }) => messageId ?? []));
    return withTransaction(this.#pool, async (tx) => {
      await lockRetention(tx);
      return walk.take(
        tx,
        page,
        due.map(({ id }) => id),
      );
    });
  }

  /** An entry may have thousands of failures, so they are batches of their own. */
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

/** The milliseconds that a uuid v7 begins with. */
function timeOf(id: string): number {
  return Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16);
}
