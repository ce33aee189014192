/**
 * Sends commands with Temporal's own client. Any program can do this without depending on this package.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { defineSearchAttributeKey, TypedSearchAttributes } from '@temporalio/common';
import type { Pool } from 'pg';
import { SEARCH_ATTRIBUTES } from 'temporal-inbox/temporal';
import type { EntryStatus } from 'temporal-inbox';
import { isFinal, readStatuses } from './entries.ts';
import type { FeedCommand } from './purchases.ts';

export interface Sender {
  client: Client;
  taskQueue: string;
  /** True if the namespace has the inbox's search attributes. A start with an unknown search attribute would fail. */
  searchAttributes: boolean;
}

export interface FeedProgress {
  total: number;
  /** Commands sent by this run or an earlier one. */
  sent: number;
  duplicates: number;
  completed: number;
  deadLetters: number;
  /** Commands that have failed at least once and wait for their next attempt. */
  waiting: number;
}

export interface FeedOptions extends Sender {
  pool: Pool;
  /** Maximum number of commands in progress at the same time. */
  concurrency?: number;
  onProgress?: (progress: FeedProgress) => void;
  signal?: AbortSignal;
}

/**
 * Every purchase locks the shop's account, so a higher concurrency only causes more retries. In 300 purchases on a busy
 * two-core machine, no purchase failed on a held lock with 16 in progress, and 8 to 51 did with 32.
 */
const DEFAULT_CONCURRENCY = 24;
const POLL_MS = 50;
/** Much longer than the bank's longest delay between two attempts (5 s). */
const STALLED_AFTER_MS = 60_000;

/** Returns `duplicate` if the message_id was used before. */
export async function send(sender: Sender, command: FeedCommand): Promise<'accepted' | 'duplicate'> {
  const { messageId, commandType, payload, options } = command;
  const attributes = new TypedSearchAttributes([
    { key: defineSearchAttributeKey(SEARCH_ATTRIBUTES.commandType, 'KEYWORD'), value: commandType },
    {
      key: defineSearchAttributeKey(SEARCH_ATTRIBUTES.correlationId, 'KEYWORD'),
      value: options.correlationId ?? '',
    },
  ]);
  try {
    await sender.client.workflow.start(commandType, {
      taskQueue: sender.taskQueue,
      workflowId: messageId,
      // Temporal rejects duplicates only during the namespace's retention. After that, the entry in Postgres still does.
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      args: [payload, options],
      ...(sender.searchAttributes ? { typedSearchAttributes: attributes } : {}),
    });
    return 'accepted';
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return 'duplicate';
    throw error;
  }
}

/**
 * Sends the commands in order, with a limited number in progress, and returns when each of them is Completed or a dead
 * letter. A command that waits for its next attempt does not count as in progress, so a slow command does not delay the
 * others.
 */
export async function feed(commands: readonly FeedCommand[], options: FeedOptions): Promise<FeedProgress> {
  const { pool, concurrency = DEFAULT_CONCURRENCY, signal } = options;
  const known = await readStatuses(
    pool,
    commands.map((command) => command.messageId),
  );
  const unsent = commands.filter((command) => !known.has(command.messageId));
  const tally = new Tally(commands.length, known);
  for (;;) {
    signal?.throwIfAborted();
    const batch = unsent.splice(0, Math.max(0, concurrency - tally.inProgress));
    await Promise.all(
      batch.map(async (command) => tally.sent(command.messageId, await send(options, command))),
    );
    tally.update(await readStatuses(pool, tally.unfinished));
    options.onProgress?.(tally.progress());
    if (unsent.length === 0 && tally.unfinished.length === 0) return tally.progress();
    tally.throwIfStalled(options.taskQueue);
    await sleep(POLL_MS);
  }
}

/** Tracks the last known status of each command. */
class Tally {
  readonly #statuses = new Map<string, EntryStatus>();
  #duplicates = 0;
  #lastChange = Date.now();

  constructor(
    readonly total: number,
    known: ReadonlyMap<string, EntryStatus>,
  ) {
    this.#duplicates = known.size;
    for (const [messageId, status] of known) this.#statuses.set(messageId, status);
  }

  get unfinished(): string[] {
    return [...this.#statuses].filter(([, status]) => !isFinal(status)).map(([messageId]) => messageId);
  }

  /** Number of commands that are running or waiting for a worker. */
  get inProgress(): number {
    return this.#count('Pending') + this.#count('Processing');
  }

  sent(messageId: string, answer: 'accepted' | 'duplicate'): void {
    if (answer === 'duplicate') this.#duplicates += 1;
    this.#set(messageId, 'Pending');
  }

  update(statuses: ReadonlyMap<string, EntryStatus>): void {
    for (const [messageId, status] of statuses) this.#set(messageId, status);
  }

  #set(messageId: string, status: EntryStatus): void {
    if (this.#statuses.get(messageId) === status) return;
    this.#statuses.set(messageId, status);
    this.#lastChange = Date.now();
  }

  throwIfStalled(taskQueue: string): void {
    if (Date.now() - this.#lastChange < STALLED_AFTER_MS) return;
    throw new Error(
      `no command has changed its status for ${STALLED_AFTER_MS / 1_000} s, including ${this.unfinished.slice(0, 3).join(', ')}; ` +
        `check that a worker polls the task queue ${JSON.stringify(taskQueue)}: temporal task-queue describe`,
    );
  }

  progress(): FeedProgress {
    return {
      total: this.total,
      sent: this.#statuses.size,
      duplicates: this.#duplicates,
      completed: this.#count('Completed'),
      deadLetters: this.#count('DeadLetter'),
      waiting: this.#count('Failed'),
    };
  }

  #count(wanted: EntryStatus): number {
    let count = 0;
    for (const status of this.#statuses.values()) if (status === wanted) count += 1;
    return count;
  }
}
