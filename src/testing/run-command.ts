/**
 * Runs a command's handler once, for a test, and rolls back what it did.
 *
 * @module
 */
import { randomUUID } from 'node:crypto';
import type { ClientBase, Pool } from 'pg';
import type { InferPayload, InferResult } from '../commands/contract.ts';
import type { CommandDefinition, OutboxEvent } from '../commands/define-command.ts';
import type { MessageOptions } from '../commands/message.ts';
import { DEFAULT_MAX_PAYLOAD_BYTES } from '../commands/message-validation.ts';
import { createRegistry } from '../commands/registry.ts';
import { parseResult } from '../commands/parse-result.ts';
import type { CommandLog } from '../core/command-log.ts';
import type { Json, JsonObject } from '../core/json.ts';
import { createLog, withFields } from '../platform/log.ts';
import { parseMessage } from '../sending/accept-messages.ts';
import type { NotAPool } from '../sending/inbox-types.ts';
import type { Entry, NewEntry, StoredEvent } from '../store/entries.ts';
import { checkRunOptions } from './run-options.ts';
import type { CheckedPlace } from './run-options.ts';
import { asStored } from './stored-json.ts';
import { runTestAttempt } from './test-attempt.ts';
import type { SentCommand } from './test-sends.ts';
import { inOwnTransaction, inSavepoint } from './test-transaction.ts';

/** What the handler of {@link runCommand} sees of its message and its attempt. */
export interface RunCommandContext<Command extends CommandDefinition> extends Partial<MessageOptions> {
  /** The input of the command's schema, as a sender passes it. */
  payload: InferPayload<Command>;
  /** 1, the default, for the first attempt. Higher for a retry. */
  attempt?: number;
  /** How many times the command was replayed. Default 0. */
  generation?: number;
  /** Default: now. */
  receivedAt?: Date;
  /** Receives what the handler logs. By default, errors go to stderr. */
  log?: CommandLog;
  /** Ends the attempt early, as the shutdown of a worker would, and aborts the handler's signal. */
  signal?: AbortSignal;
  /** Size limit of payloads and results, in bytes of jsonb's text. Default and maximum 1 MiB. */
  maxPayloadBytes?: number;
}

/** Runs the attempt in a transaction of its own, on a connection of the pool. */
export interface RunInPool {
  pool: Pool;
  tx?: never;
  keep?: never;
}

/** Runs the attempt in a savepoint of the test's transaction. */
export interface RunInTransaction {
  /** A `pg` client that has begun a transaction. */
  tx: Pick<ClientBase, 'query'> & NotAPool;
  /**
   * Keep the changes of a successful attempt in the test's transaction, so that the next step of the test sees them. By
   * default they are rolled back. Events are only returned, never stored.
   */
  keep?: boolean;
  pool?: never;
}

/** The second argument of {@link runCommand}. */
export type RunCommandOptions<Command extends CommandDefinition> = RunCommandContext<Command> &
  (RunInPool | RunInTransaction);

/** The outcome of {@link runCommand}. */
export interface CommandRun<Result> {
  /** What a caller of `execute` would get. Null if the handler returns nothing. */
  result: Result;
  /** The events that would be stored in the outbox, in order. */
  events: Required<OutboxEvent>[];
  /** The commands that the handler sent, in order. */
  sent: SentCommand[];
}

/**
 * Runs one attempt of a command without Temporal and without an entry, and rolls back what it did. Everything else is the
 * same as in a worker: the schema validates the payload, `prepare` runs before the transaction, and the timeout, the rules
 * for `tx`, and the checks of results, events and forgotten awaits apply.
 *
 * The database needs the handler's tables only. If it also contains the inbox's schema, the handler's `send` finds the
 * messages that are stored there; otherwise it behaves as if no message was stored.
 *
 * @throws AttemptFailedError if the inbox makes the attempt fail: `InvalidPayload`, `InvalidResult`, `Timeout`,
 *   `ForgottenAwait` and so on; otherwise the error of the handler or of `prepare`, unchanged. InvalidCommandError,
 *   InvalidMessageError, ConfigurationError or UnusableTransactionError for invalid arguments; UnreachableError if the pool
 *   has no free connection for 10 s
 * @example
 * const { result, events } = await runCommand(reserveStock, { payload: { sku: 'tea', quantity: 2 }, pool });
 */
export async function runCommand<Command extends CommandDefinition>(
  command: Command,
  options: RunCommandOptions<Command>,
): Promise<CommandRun<InferResult<Command>>> {
  const [registered] = createRegistry([command]).values();
  checkRunOptions(options);
  const { maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES, log = createLog('error'), signal } = options;
  const entry = entryOf(command, options, maxPayloadBytes);
  const { messageId, commandType, attempt } = entry;
  const { result, events, sent } = await runTestAttempt({
    command: registered!,
    entry,
    inTransaction: placeOf(options),
    maxPayloadBytes,
    log: withFields(log, { messageId, commandType, attempt }),
    signal,
  });
  return {
    result: (await readResult(command, messageId, result)) as InferResult<Command>,
    events: events.map(publicEvent),
    sent,
  };
}

function placeOf({ pool, tx, keep = false }: CheckedPlace) {
  return pool ? inOwnTransaction(pool) : inSavepoint(tx!, keep);
}

/** @throws InvalidMessageError naming the invalid field */
function entryOf<Command extends CommandDefinition>(
  { type }: Command,
  options: RunCommandOptions<Command>,
  maxPayloadBytes: number,
): Entry {
  const { messageId = randomUUID(), payload, correlationId, causationId, metadata } = options;
  const message = { type, messageId, payload, correlationId, causationId, ...(metadata && { metadata }) };
  const parsed = parseMessage(message as Parameters<typeof parseMessage>[0], maxPayloadBytes);
  const { attempt = 1, generation = 0, receivedAt = new Date() } = options;
  return {
    ...(asStored(parsed as unknown as Json) as unknown as NewEntry),
    id: randomUUID(),
    status: 'Processing',
    receivedAt: new Date(receivedAt),
    processedAt: null,
    retryCount: attempt - 1,
    nextRetryAt: null,
    error: null,
    attempt,
    generation,
    result: null,
    prunedAt: null,
  };
}

/** @throws InvalidResultError if the schema of the result accepted the handler's result, but not the stored one */
async function readResult(command: CommandDefinition, messageId: string, result: Json): Promise<unknown> {
  const stored = asStored(result);
  return parseResult(command, messageId, stored);
}

function publicEvent({
  aggregatetype,
  aggregateid,
  type,
  payload,
  metadata,
}: StoredEvent): Required<OutboxEvent> {
  const stored = { payload: asStored(payload), metadata: asStored(metadata) as JsonObject };
  return { aggregateType: aggregatetype, aggregateId: aggregateid, type, ...stored };
}
