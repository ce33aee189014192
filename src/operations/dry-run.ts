/**
 * Proves a fix before anything is replayed: today's handlers against dead letters, in transactions that are never committed.
 *
 * @module
 */
import type { Pool, PoolClient } from 'pg';
import { runHandler } from '../../activities/handler.ts';
import type { Handled } from '../../activities/handler.ts';
import { aborted, AttemptLimit } from '../../activities/limit.ts';
import { HandlerTransaction, ReportedFailure } from '../../activities/transaction.ts';
import type { CommandDefinition, CommandLog } from '../command.ts';
import { createPool } from '../database.ts';
import { checkJson, checkMessageId, DEFAULT_MAX_PAYLOAD_BYTES } from '../envelope.ts';
import { InboxError } from '../errors.ts';
import { failureGroup, inboxFailure, reportFailure } from '../failure.ts';
import type { FailureReport } from '../failure.ts';
import type { Json } from '../json.ts';
import { createLog, withFields } from '../log.ts';
import { FAILURE } from '../protocol.ts';
import { createRegistry } from '../registry.ts';
import type { RegisteredCommand, Registry } from '../registry.ts';
import type { Message } from '../send.ts';
import type { DeadLetterFilter } from '../store/dead-letter-filter.ts';
import { listOpenDeadLetters } from '../store/dead-letter-preview.ts';
import {
  beginDryRun,
  checkDeferredConstraints,
  endDryRun,
  isInDryRun,
  READ_ONLY_OUTSIDE,
} from '../store/dry-run.ts';
import type { Entry, StoredEvent } from '../store/entries.ts';
import { openDeadLetter } from './act.ts';
import { existing } from './look.ts';

export interface DryRunOptions {
  databaseUrl: string;
  commands: readonly CommandDefinition[];
  /** These messages; or, by `filter`, open dead letters, the oldest first. */
  messageIds?: readonly string[];
  filter?: DeadLetterFilter;
  /** Of what the filter finds, at most so many. Default 1,000. */
  limit?: number;
  /** Instead of the payload that is stored; only with one message. */
  payload?: Json;
  maxPayloadBytes?: number;
  onResult?: (result: DryRunResult, total: number) => void;
  /** Ends it after the one at hand. */
  signal?: AbortSignal;
  log?: CommandLog;
}

/** What a replay would do now. */
export type DryRunResult = { messageId: string; commandType: string | null } & (
  | { outcome: 'completes'; result: Json; events: StoredEvent[]; sends: Message[] }
  | { outcome: 'fails'; failure: DryRunFailure }
  /** It was not run. */
  | { outcome: 'refused'; problem: string }
);

export interface DryRunFailure {
  type: string;
  message: string;
  /** Whether it would be tried again by itself, as far as its attempts go. */
  retryable: boolean;
  failureGroup: string;
}

const DEFAULT_LIMIT = 1_000;

/**
 * Runs one after the other, on a connection of its own, each alone: two transfers that would complete alone may not both
 * complete. Sequences go on counting, as they do in any transaction that is rolled back; locks are held for as long as a handler runs.
 *
 * @throws InvalidCommandError, InvalidMessageError; what the database throws
 */
export async function dryRun(options: DryRunOptions): Promise<DryRunResult[]> {
  const registry = createRegistry(options.commands);
  if (options.payload !== undefined) checkJson(options.payload, 'payload', DEFAULT_MAX_PAYLOAD_BYTES);
  const common = { connectionString: options.databaseUrl, applicationName: 'inbox dry-run' };
  const reading = createPool({ ...common, max: 1 });
  const trying = createPool({ ...common, max: 1, settings: READ_ONLY_OUTSIDE });
  try {
    const messageIds =
      options.messageIds?.map((id) => checkMessageId(id)) ?? (await choose(reading, options));
    const results: DryRunResult[] = [];
    for (const messageId of messageIds) {
      if (options.signal?.aborted) break;
      const result = await tryOne({ ...options, registry, reading, trying }, messageId);
      results.push(result);
      options.onResult?.(result, messageIds.length);
    }
    return results;
  } finally {
    await Promise.all([reading.end(), trying.end()]);
  }
}

async function choose(pool: Pool, { filter = {}, limit = DEFAULT_LIMIT }: DryRunOptions): Promise<string[]> {
  const letters = await listOpenDeadLetters(pool, filter, limit);
  return letters.map(({ messageId }) => messageId);
}

type Trial = DryRunOptions & { registry: Registry; reading: Pool; trying: Pool };

async function tryOne(trial: Trial, messageId: string): Promise<DryRunResult> {
  let entry: Entry;
  try {
    await openDeadLetter(trial.reading, messageId);
    entry = await existing(trial.reading, messageId);
  } catch (error) {
    if (!(error instanceof InboxError)) throw error;
    return { messageId, commandType: null, outcome: 'refused', problem: error.message };
  }
  const { commandType } = entry;
  const command = trial.registry.get(commandType);
  if (!command) {
    const known = [...trial.registry.keys()].sort().join(', ');
    const problem = `the module has no command ${commandType}; it has ${known}`;
    return { messageId, commandType, outcome: 'refused', problem };
  }
  if (command.effects === 'external') {
    const problem = `${commandType} has effects outside of the database (effects: 'external'), which no rollback takes back`;
    return { messageId, commandType, outcome: 'refused', problem };
  }
  const asReplayed = {
    ...entry,
    retryCount: 0,
    generation: entry.generation + 1,
    payload: trial.payload ?? entry.payload,
  };
  return { messageId, commandType, ...(await attempt(trial, command, asReplayed)) };
}

type Attempted =
  | { outcome: 'completes'; result: Json; events: StoredEvent[]; sends: Message[] }
  | { outcome: 'fails'; failure: DryRunFailure };

async function attempt(trial: Trial, command: RegisteredCommand, entry: Entry): Promise<Attempted> {
  const client = await trial.trying.connect();
  const limit = new AttemptLimit(command.timeoutMs, null, new AbortController().signal);
  const sends: Message[] = [];
  let broken: Error | boolean = true;
  try {
    const handled = await aborted(limit.signal, handle(trial, command, entry, client, limit.signal, sends));
    return { outcome: 'completes', ...handled, sends };
  } catch (error) {
    const report = error instanceof ReportedFailure ? error.report : reportFailure(error);
    return { outcome: 'fails', failure: failureOf(entry, report) };
  } finally {
    limit.end();
    // A handler that hangs may still use it: the connection goes, and what it had begun with it.
    if (!limit.signal.aborted)
      broken = await endDryRun(client).then(
        () => false,
        (reason: Error) => reason,
      );
    client.release(broken);
  }
}

async function handle(
  { log = createLog(), maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES }: Trial,
  command: RegisteredCommand,
  entry: Entry,
  client: PoolClient,
  signal: AbortSignal,
  sends: Message[],
): Promise<Handled> {
  const { messageId, commandType } = entry;
  await beginDryRun(client, messageId, command.timeoutMs);
  const transaction = new HandlerTransaction(client);
  const own = withFields(log, { messageId, commandType, dryRun: true });
  try {
    const limits = { maxPayloadBytes, onSend: (message: Message) => void sends.push(message) };
    const handled = await runHandler(command, entry, transaction.facade, signal, own, limits);
    transaction.close();
    if (await hasEnded(client, messageId)) throw ended();
    await checkDeferredConstraints(client);
    return handled;
  } catch (error) {
    transaction.close();
    if (await hasEnded(client, messageId)) throw ended();
    throw transaction.explain(error);
  }
}

/** Whether the handler has ended the transaction, and maybe begun another one. */
async function hasEnded(client: PoolClient, messageId: string): Promise<boolean> {
  switch (client.getTransactionStatus()) {
    case 'I':
      return true;
    case 'T':
      return !(await isInDryRun(client, messageId));
    // It has failed, and ends with the dry run.
    default:
      return false;
  }
}

function ended(): ReportedFailure {
  const problem =
    'the handler ended the transaction itself (COMMIT or ROLLBACK through tx); nothing was kept';
  return new ReportedFailure(inboxFailure(FAILURE.transactionEnded, problem, false));
}

function failureOf({ commandType }: Entry, report: FailureReport): DryRunFailure {
  const { type, message, retryable } = report;
  return { type, message, retryable, failureGroup: failureGroup(commandType, report) };
}
