/**
 * Proves a fix before anything is replayed: today's handlers against dead letters, in transactions that are never committed.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandDefinition } from '../commands/define-command.ts';
import type { CommandLog } from '../core/command-log.ts';
import { OPERATOR_SETTINGS } from '../platform/connection-settings.ts';
import { createPool } from '../platform/postgres.ts';
import { checkJson, checkMessageId, DEFAULT_MAX_PAYLOAD_BYTES } from '../commands/message-validation.ts';
import { InboxError, InvalidMessageError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';
import { createLog, withFields } from '../platform/log.ts';
import { createRegistry } from '../commands/registry.ts';
import type { Registry } from '../commands/registry.ts';
import type { DeadLetterFilter } from '../store/dead-letter-filter.ts';
import { listOpenDeadLetters } from '../store/dead-letter-preview.ts';
import { findCommittedDryRun, READ_ONLY_OUTSIDE } from '../store/dry-run.ts';
import type { Entry } from '../store/entries.ts';
import { openDeadLetter } from './replay-discard.ts';
import { tryOnce } from './dry-run-attempt.ts';
import type { Tried } from './dry-run-attempt.ts';
import { existing } from './queries.ts';

export type { DryRunFailure } from './dry-run-attempt.ts';

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
  | Tried
  /** It was not run. */
  | { outcome: 'refused'; problem: string }
);

const DEFAULT_LIMIT = 1_000;

/**
 * Runs one after the other, on a connection of its own, each alone: two transfers that would complete alone may not both
 * complete. Sequences go on counting, as they do in any transaction that is rolled back; locks are held for as long as a handler runs.
 *
 * @throws InvalidCommandError, InvalidMessageError; InboxError when a dry run was committed after all; what the database throws
 */
export async function dryRun(options: DryRunOptions): Promise<DryRunResult[]> {
  const registry = createRegistry(options.commands);
  checkPayload(options);
  const common = { connectionString: options.databaseUrl, applicationName: 'inbox dry-run' };
  const reading = createPool({ ...common, max: 1, settings: OPERATOR_SETTINGS });
  const trying = createPool({ ...common, max: 1, settings: READ_ONLY_OUTSIDE });
  try {
    await checkNothingCommitted(reading);
    const messageIds =
      options.messageIds?.map((id) => checkMessageId(id)) ?? (await choose(reading, options));
    const results: DryRunResult[] = [];
    for (const messageId of messageIds) {
      if (options.signal?.aborted) break;
      const result = await tryOne({ ...options, registry, reading, trying }, messageId);
      await checkNothingCommitted(reading);
      results.push(result);
      options.onResult?.(result, messageIds.length);
    }
    return results;
  } finally {
    await Promise.all([reading.end(), trying.end()]);
  }
}

function checkPayload({ payload, messageIds, maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES }: DryRunOptions) {
  if (payload === undefined) return;
  if (messageIds?.length !== 1) throw new InvalidMessageError('payload', 'goes with one message id');
  checkJson(payload, 'payload', maxPayloadBytes);
}

/** It cannot be. Should it be all the same, nothing more may be tried, and a person must know. */
async function checkNothingCommitted(db: Pool): Promise<void> {
  const messageId = await findCommittedDryRun(db);
  if (messageId === null) return;
  throw new InboxError(
    `a dry run of message ${JSON.stringify(messageId)} was committed, which must not be: look at what its handler writes, ` +
      'then delete the row in inbox.dry_run; nothing more was tried',
  );
}

async function choose(pool: Pool, { filter = {}, limit = DEFAULT_LIMIT }: DryRunOptions): Promise<string[]> {
  const letters = await listOpenDeadLetters(pool, filter, limit);
  return letters.map(({ messageId }) => messageId);
}

type Run = DryRunOptions & { registry: Registry; reading: Pool; trying: Pool };

async function tryOne(run: Run, messageId: string): Promise<DryRunResult> {
  let entry: Entry;
  try {
    await openDeadLetter(run.reading, messageId);
    entry = await existing(run.reading, messageId);
  } catch (error) {
    if (!(error instanceof InboxError)) throw error;
    return { messageId, commandType: null, outcome: 'refused', problem: error.message };
  }
  const { commandType } = entry;
  const command = run.registry.get(commandType);
  if (!command) {
    const known = [...run.registry.keys()].sort().join(', ');
    const problem = `the module has no command ${commandType}; it has ${known}`;
    return { messageId, commandType, outcome: 'refused', problem };
  }
  if (command.effects === 'external') {
    const problem = `${commandType} has effects outside of the database (effects: 'external'), which no rollback takes back`;
    return { messageId, commandType, outcome: 'refused', problem };
  }
  const { payload = entry.payload, maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES, log = createLog() } = run;
  const tried = await tryOnce({
    command,
    entry: { ...entry, retryCount: 0, generation: entry.generation + 1, payload },
    trying: run.trying,
    ending: run.reading,
    maxPayloadBytes,
    log: withFields(log, { messageId, commandType, dryRun: true }),
  });
  return { messageId, commandType, ...tried };
}
