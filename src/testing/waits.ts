/**
 * Waits until messages have reached a status.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { checkMessageId } from '../commands/message-validation.ts';
import { ConfigurationError, WaitTimeoutError } from '../core/errors.ts';
import { STATUSES } from '../core/protocol.ts';
import type { EntryStatus } from '../core/protocol.ts';
import { checkTimeout } from '../sending/inbox-options.ts';
import { findEntry, isSettled } from '../store/entries.ts';
import type { Entry } from '../store/entries.ts';
import { listEntries } from '../store/reports.ts';

export interface WaitOptions {
  /** How long to wait, in ms. Default 30 s. */
  timeoutMs?: number;
}

/** What the waits observe. */
export interface Watched {
  pool: Pool;
  /** The command types of the worker. */
  types: readonly string[];
  /** The error that ended the worker, if it has ended: then waiting is pointless. */
  workerError: () => unknown;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const SHORTEST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 250;
/** Far more than the messages of one flow in a test. */
const MAX_FLOW = 100_000;

/**
 * @throws WaitTimeoutError saying which status the message has, and its last error; InvalidMessageError or
 *   ConfigurationError for invalid arguments; the worker's error if it has ended
 */
export async function reaches(
  watched: Watched,
  messageId: string,
  status: EntryStatus,
  options: WaitOptions = {},
): Promise<Entry> {
  checkMessageId(messageId);
  if (!STATUSES.includes(status))
    throw new ConfigurationError(
      `status must be one of ${STATUSES.join(', ')}, not ${JSON.stringify(status)}`,
    );
  return poll(watched, options, `message ${JSON.stringify(messageId)} did not become ${status}`, async () => {
    const entry = await findEntry(watched.pool, messageId);
    if (entry?.status === status) return { value: entry };
    return { found: entry ? describe(entry, watched) : 'no message with this id was accepted' };
  });
}

/**
 * @returns the entry that began the flow and those with this correlation_id, oldest first
 * @throws WaitTimeoutError naming the messages that have not ended; InvalidMessageError or ConfigurationError for invalid
 *   arguments; the worker's error if it has ended
 */
export async function settled(
  watched: Watched,
  correlationId: string,
  options: WaitOptions = {},
): Promise<Entry[]> {
  checkMessageId(correlationId);
  const flow = JSON.stringify(correlationId);
  return poll(watched, options, `the messages of the flow ${flow} did not all end`, async () => {
    // A command's completion and what it sends are committed together. So no message of the flow is missing at any moment.
    const entries = await listEntries(watched.pool, { correlationId, limit: MAX_FLOW });
    const open = entries.filter((entry) => !isSettled(entry));
    if (entries.length > 0 && open.length === 0) return { value: entries.toReversed() };
    if (entries.length === 0) return { found: 'no message with this id or correlation_id was accepted' };
    const shown = open
      .slice(0, 5)
      .map((entry) => `${JSON.stringify(entry.messageId)}: ${describe(entry, watched)}`);
    const more = open.length > shown.length ? [`and ${open.length - shown.length} more`] : [];
    return { found: [...shown, ...more].join('; ') };
  });
}

function describe(entry: Entry, { types }: Watched): string {
  const { status, commandType, retryCount, nextRetryAt, error } = entry;
  const parts = [`its status is ${status}`];
  if (retryCount > 0) parts.push(`after ${retryCount} failed ${retryCount === 1 ? 'attempt' : 'attempts'}`);
  const text = [parts.join(' ')];
  if (nextRetryAt) text.push(`the next attempt is at ${nextRetryAt.toISOString()}`);
  if (error !== null) text.push(`the last error is ${error}`);
  if (status === 'Pending' && !types.includes(commandType))
    text.push(`the worker has no command ${commandType}, only ${types.join(', ')}`);
  return text.join(', ');
}

/** A probe returns the value that the test waits for, or describes what it has found instead. */
type Probed<T> = { value: T } | { found: string };

async function poll<T>(
  { workerError }: Watched,
  { timeoutMs = DEFAULT_TIMEOUT_MS }: WaitOptions,
  expected: string,
  probe: () => Promise<Probed<T>>,
): Promise<T> {
  checkTimeout(timeoutMs);
  const started = performance.now();
  for (;;) {
    const probed = await probe();
    if ('value' in probed) return probed.value;
    const failure = workerError();
    if (failure !== undefined) throw failure;
    const waitedMs = performance.now() - started;
    if (waitedMs >= timeoutMs) throw new WaitTimeoutError(expected, probed.found, timeoutMs);
    const pauseMs = Math.min(Math.max(waitedMs / 10, SHORTEST_PAUSE_MS), LONGEST_PAUSE_MS);
    await sleep(Math.min(pauseMs, timeoutMs - waitedMs));
  }
}
