/**
 * Tests a fix before a replay: runs the current handlers against dead letters, in transactions that are never committed.
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
import { runDryRunAttempt } from './dry-run-attempt.ts';
import type { DryRunOutcome } from './dry-run-attempt.ts';
import { requireEntry } from './queries.ts';

export type { DryRunFailure } from './dry-run-attempt.ts';

export interface DryRunOptions {
  databaseUrl: string;
  commands: readonly CommandDefinition[];
  /** The messages to try. Without it, the open dead letters that match `filter`, oldest first. */
  messageIds?: readonly string[];
  filter?: DeadLetterFilter;
  /** Maximum number of dead letters to take from the filter. Default 1,000. */
  limit?: number;
  /** Replaces the stored payload. Only with exactly one message. */
  payload?: Json;
  maxPayloadBytes?: number;
  onResult?: (result: DryRunResult, total: number) => void;
  /** Stops after the current message. */
  signal?: AbortSignal;
  log?: CommandLog;
}

/** What a replay of one message would do now. */
export type DryRunResult = { messageId: string; commandType: string | null } & (
  | DryRunOutcome
  /** The handler was not run. */
  | { outcome: 'refused'; problem: string }
);

const DEFAULT_LIMIT = 1_000;

/**
 * Runs the messages one after the other on a separate connection. No message sees the changes of another, so two transfers
 * that each complete alone may not both complete. A handler's locks are held while it runs. Sequences advance, as in any
 * transaction that is rolled back.
 *
 * @throws InvalidCommandError; InvalidMessageError; InboxError when a dry run was committed, which must never happen;
 *   database errors
 */
export async function dryRun(options: DryRunOptions): Promise<DryRunResult[]> {
  const registry = createRegistry(options.commands);
  checkPayload(options);
  const common = { connectionString: options.databaseUrl, applicationName: 'inbox dry-run' };
  const reading = createPool({ ...common, max: 1, settings: OPERATOR_SETTINGS });
  const attempts = createPool({ ...common, max: 1, settings: READ_ONLY_OUTSIDE });
  try {
    await checkNothingCommitted(reading);
    const messageIds =
      options.messageIds?.map((id) => checkMessageId(id)) ?? (await findMessages(reading, options));
    const results: DryRunResult[] = [];
    for (const messageId of messageIds) {
      if (options.signal?.aborted) break;
      const result = await tryMessage({ ...options, registry, reading, attempts }, messageId);
      await checkNothingCommitted(reading);
      results.push(result);
      options.onResult?.(result, messageIds.length);
    }
    return results;
  } finally {
    await Promise.all([reading.end(), attempts.end()]);
  }
}

function checkPayload({ payload, messageIds, maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES }: DryRunOptions) {
  if (payload === undefined) return;
  if (messageIds?.length !== 1) throw new InvalidMessageError('payload', 'needs exactly one message id');
  checkJson(payload, 'payload', maxPayloadBytes);
}

/** Nothing can commit a dry run. If it happens anyway, stops all further dry runs and reports it. */
async function checkNothingCommitted(db: Pool): Promise<void> {
  const messageId = await findCommittedDryRun(db);
  if (messageId === null) return;
  throw new InboxError(
    `a dry run of message ${JSON.stringify(messageId)} was committed, which must never happen: check what its handler wrote, ` +
      'then delete the row in inbox.dry_run; no other message was tried after it',
  );
}

async function findMessages(
  pool: Pool,
  { filter = {}, limit = DEFAULT_LIMIT }: DryRunOptions,
): Promise<string[]> {
  const letters = await listOpenDeadLetters(pool, filter, limit);
  return letters.map(({ messageId }) => messageId);
}

type Run = DryRunOptions & { registry: Registry; reading: Pool; attempts: Pool };

async function tryMessage(run: Run, messageId: string): Promise<DryRunResult> {
  let entry: Entry;
  try {
    await openDeadLetter(run.reading, messageId);
    entry = await requireEntry(run.reading, messageId);
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
    const problem = `${commandType} has effects outside the database (effects: 'external'), which a rollback cannot undo`;
    return { messageId, commandType, outcome: 'refused', problem };
  }
  const { payload = entry.payload, maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES, log = createLog() } = run;
  const outcome = await runDryRunAttempt({
    command,
    entry: { ...entry, retryCount: 0, generation: entry.generation + 1, payload },
    attempts: run.attempts,
    control: run.reading,
    maxPayloadBytes,
    log: withFields(log, { messageId, commandType, dryRun: true }),
  });
  return { messageId, commandType, ...outcome };
}
