/**
 * Sends commands through Temporal's own client, as any program could that knows nothing of this package.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { defineSearchAttributeKey, TypedSearchAttributes } from '@temporalio/common';
import type { Pool } from 'pg';
import { type EntryStatus, SEARCH_ATTRIBUTES, WORKFLOW_TYPE } from '../../src/core/protocol.ts';
import { hasEnded, readStatuses } from './entries.ts';
import type { FeedCommand } from './purchases.ts';

export interface Sender {
  client: Client;
  taskQueue: string;
  /** Whether the namespace has the inbox's search attributes; an unknown one would fail the start. */
  searchAttributes: boolean;
}

export interface FeedProgress {
  total: number;
  /** Sent now, or known from before. */
  sent: number;
  duplicates: number;
  completed: number;
  deadLetters: number;
  /** Failed once or more, and waiting for the next try. */
  waiting: number;
}

export interface FeedOptions extends Sender {
  pool: Pool;
  /** How many commands may be in the worker's hands at once. */
  concurrency?: number;
  onProgress?: (progress: FeedProgress) => void;
  signal?: AbortSignal;
}

/**
 * Every purchase locks the shop's account, so more at once would not be faster, only tried again more often: on a busy
 * two-core machine 16 met no held lock in 300 purchases, 32 between 8 and 51.
 */
const DEFAULT_CONCURRENCY = 24;
const POLL_MS = 50;
/** Longer than the bank's longest wait between two attempts (5 s) by far. */
const STALLED_AFTER_MS = 60_000;

/** `duplicate` when the message_id was used before. */
export async function send(sender: Sender, command: FeedCommand): Promise<'accepted' | 'duplicate'> {
  const { commandType, correlationId } = command.envelope;
  const attributes = new TypedSearchAttributes([
    { key: defineSearchAttributeKey(SEARCH_ATTRIBUTES.commandType, 'KEYWORD'), value: commandType },
    { key: defineSearchAttributeKey(SEARCH_ATTRIBUTES.correlationId, 'KEYWORD'), value: correlationId ?? '' },
  ]);
  try {
    await sender.client.workflow.start(WORKFLOW_TYPE, {
      taskQueue: sender.taskQueue,
      workflowId: command.messageId,
      // Temporal remembers a closed workflow for as long as the namespace keeps it; after that, Postgres still does.
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      args: [command.envelope],
      staticSummary: commandType,
      ...(sender.searchAttributes ? { typedSearchAttributes: attributes } : {}),
    });
    return 'accepted';
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return 'duplicate';
    throw error;
  }
}

/**
 * Sends the commands in their order, a limited number at a time, and returns when each of them is Completed or a dead
 * letter. A command that waits for its next try leaves its place to another: a slow one holds nobody up.
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
    const batch = unsent.splice(0, Math.max(0, concurrency - tally.busy));
    await Promise.all(
      batch.map(async (command) => tally.sent(command.messageId, await send(options, command))),
    );
    tally.update(await readStatuses(pool, tally.unended));
    options.onProgress?.(tally.progress());
    if (unsent.length === 0 && tally.unended.length === 0) return tally.progress();
    tally.throwIfStalled(options.taskQueue);
    await sleep(POLL_MS);
  }
}

/** Where each command is, as far as the demo knows. */
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

  get unended(): string[] {
    return [...this.#statuses].filter(([, status]) => !hasEnded(status)).map(([messageId]) => messageId);
  }

  /** Commands that a worker has, or will have as soon as it can. */
  get busy(): number {
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
      `no command has moved for ${STALLED_AFTER_MS / 1_000} s, ${this.unended.slice(0, 3).join(', ')} among them; ` +
        `see whether a worker polls the task queue ${JSON.stringify(taskQueue)}: temporal task-queue describe`,
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
