/**
 * Runs a command's handler, and checks its payload, result and events.
 *
 * @module
 */
import type { HandlerContext, OutboxEvent, PrepareContext } from '../commands/define-command.ts';
import type { CommandLog } from '../core/command-log.ts';
import { checkJson } from '../commands/message-validation.ts';
import { InvalidMessageError } from '../core/errors.ts';
import { checkEvent } from './event-limits.ts';
import { inboxFailure } from './failure-report.ts';
import type { Json } from '../core/json.ts';
import { FAILURE } from '../core/protocol.ts';
import type { RegisteredCommand } from '../commands/registry.ts';
import { validate, validateResult } from '../commands/schema.ts';
import { sendMessages, toMessage } from '../sending/accept-messages.ts';
import type { OutgoingMessage } from '../sending/accept-messages.ts';
import type { CommandContract } from '../commands/contract.ts';
import type { Message, MessageFor } from '../commands/message.ts';
import type { Entry, StoredEvent } from '../store/entries.ts';
import { AttemptScope } from './attempt-scope.ts';
import { watchStrayErrors } from './stray-errors.ts';
import { withActiveContext, withoutTraceContext } from '../telemetry/trace-context.ts';
import { ReportedFailure } from './handler-transaction.ts';
import type { HandlerTransaction } from './handler-transaction.ts';

export interface HandlerLimits {
  maxPayloadBytes: number;
  /** Called with each command that the handler sends. */
  onSend?: (message: Message) => void;
  /** Stores what the handler sends. By default, in the inbox's tables, in the attempt's transaction. */
  send?: typeof sendMessages;
}

/** The outcome of a command's `prepare`. */
export interface Prepared {
  /** The payload, parsed by the command's schema. */
  payload: unknown;
  /** The return value of `prepare`. */
  value: unknown;
}

export interface Handled {
  result: Json;
  events: StoredEvent[];
}

/**
 * Runs the command's `prepare`, if it has one. It needs no connection.
 *
 * @returns null if the command has no `prepare`
 * @throws ReportedFailure for a payload that does not match the schema; otherwise the error of `prepare`, or one that it
 *   caused and never awaited
 */
export async function runPrepare(
  command: RegisteredCommand,
  entry: Entry,
  signal: AbortSignal,
  log: CommandLog,
): Promise<Prepared | null> {
  const { definition } = command;
  if (!definition.prepare) return null;
  return openScope(entry, signal, log).run(async () => {
    const payload = await parsePayload(command, entry.payload);
    const value: unknown = await definition.prepare!({ ...contextOf(entry, signal, log), payload });
    return { payload, value };
  });
}

/** Opens the scope in which a function of the command's author runs. It closes when the attempt is aborted. */
function openScope({ messageId }: Entry, signal: AbortSignal, log: CommandLog): AttemptScope {
  watchStrayErrors();
  const scope = new AttemptScope(messageId, log);
  signal.addEventListener('abort', () => scope.close(), { once: true });
  return scope;
}

function contextOf(
  entry: Entry,
  signal: AbortSignal,
  log: CommandLog,
): Omit<PrepareContext<unknown>, 'payload'> {
  return {
    messageId: entry.messageId,
    type: entry.commandType,
    metadata: withoutTraceContext(entry.metadata),
    correlationId: entry.correlationId,
    causationId: entry.causationId,
    receivedAt: entry.receivedAt,
    attempt: entry.retryCount + 1,
    generation: entry.generation,
    signal,
    log,
  };
}

/**
 * Runs the handler of one attempt.
 *
 * @param prepared - the outcome of {@link runPrepare}
 * @throws ReportedFailure for a payload that does not match the schema, and for events and results that are not JSON;
 *   otherwise the error that the handler threw, or one that it caught or never awaited but that must fail the attempt
 */
export async function runHandler(
  command: RegisteredCommand,
  entry: Entry,
  transaction: HandlerTransaction,
  signal: AbortSignal,
  log: CommandLog,
  limits: HandlerLimits,
  prepared: Prepared | null,
): Promise<Handled> {
  const events: StoredEvent[] = [];
  const scope = openScope(entry, signal, log);
  const tx = transaction.facade;
  transaction.onQuery = (work) => scope.track('tx.query', work);
  const sendNext = async (first: CommandContract | OutgoingMessage, second?: MessageFor<CommandContract>) => {
    const message = toMessage(first, second);
    const { correlationId = entry.correlationId ?? entry.messageId, causationId = entry.messageId } = message;
    const caused = { ...message, correlationId, causationId };
    const [sent] = await (limits.send ?? sendMessages)(tx, [caused], limits.maxPayloadBytes);
    limits.onSend?.(caused as Message);
    return sent!;
  };
  const sendTracked = (...args: Parameters<typeof sendNext>) => {
    const sending = sendNext(...args);
    scope.track('send', sending);
    sending.catch((error: unknown) => scope.note(error));
    return sending;
  };
  const context: Omit<HandlerContext<unknown, unknown>, 'payload' | 'prepared'> = {
    ...contextOf(entry, signal, log),
    tx,
    emit(event) {
      try {
        if (!scope.isOpen) throw new Error('emit was called after its handler returned');
        events.push(storedEvent(event, limits));
      } catch (error) {
        scope.note(error);
        throw error;
      }
    },
    send: sendTracked,
  };
  const result: unknown = await scope.run(async () => {
    const payload = prepared ? prepared.payload : await parsePayload(command, entry.payload);
    return command.definition.handle({ ...context, payload, prepared: prepared?.value });
  });
  transaction.throwIfRefused();
  if (transaction.hasOpenNested) throw openTransactionFailure();
  return { result: await checkResult(command, storedResult(result, limits)), events };
}

/** @throws ReportedFailure (unrecoverable) if the result does not fit the schema that the command's contract declares */
async function checkResult({ definition }: RegisteredCommand, result: Json): Promise<Json> {
  if (!definition.result) return result;
  // Copies, because the handler may still change its object, and a schema the value that it validates.
  const stored = JSON.parse(JSON.stringify(result)) as Json;
  const validated = await validateResult(definition.result, structuredClone(stored));
  if ('value' in validated) return stored;
  const problems = validated.problems.map(({ field, problem }) => `${field}: ${problem}`).join('; ');
  throw invalidResult(`${problems}; the handler must return what its contract declares`);
}

function invalidResult(problem: string): ReportedFailure {
  const message = `${problem}, and its transaction was rolled back`;
  return new ReportedFailure(inboxFailure(FAILURE.invalidResult, message, false));
}

function openTransactionFailure(): ReportedFailure {
  const problem =
    'the handler returned while a nested transaction was still open; everything was rolled back. ' +
    'Await that transaction, and end it with COMMIT or ROLLBACK';
  return new ReportedFailure(inboxFailure(FAILURE.forgottenAwait, problem, true));
}

/** @throws ReportedFailure (unrecoverable) that names each invalid field, but never its value */
export async function parsePayload(command: RegisteredCommand, payload: Json): Promise<unknown> {
  const validated = await validate(command.definition.schema, payload, 'payload');
  if ('value' in validated) return validated.value;
  const problems = validated.problems.map(({ field, problem }) => `${field}: ${problem}`);
  throw new ReportedFailure(inboxFailure(FAILURE.invalidPayload, problems.join('; '), false));
}

function storedEvent(event: OutboxEvent, limits: HandlerLimits): StoredEvent {
  const invalid = (problem: string) =>
    new ReportedFailure(inboxFailure(FAILURE.invalidEvent, `emit(${event?.type}): ${problem}`, false));
  for (const field of ['aggregateType', 'aggregateId', 'type'] as const) {
    if (typeof event?.[field] !== 'string' || event[field] === '')
      throw invalid(`${field} must be non-empty text`);
  }
  const { aggregateType, aggregateId, type, payload, metadata = {} } = event;
  const stored = { aggregatetype: aggregateType, aggregateid: aggregateId, type, payload, metadata };
  try {
    checkEvent(stored, limits.maxPayloadBytes);
  } catch (error) {
    if (error instanceof InvalidMessageError) throw invalid(error.message);
    throw error;
  }
  // A copy, because the handler may change the object later.
  const copy = structuredClone(stored);
  // The consumers of the event continue the trace of the command.
  return { ...copy, metadata: withActiveContext(copy.metadata) };
}

/** Undefined is stored as null, because JSON has no undefined. */
function storedResult(result: unknown, limits: HandlerLimits): Json {
  try {
    return checkJson(result ?? null, 'result', limits.maxPayloadBytes);
  } catch (error) {
    if (!(error instanceof InvalidMessageError)) throw error;
    throw invalidResult(`${error.message}; the handler must return JSON`);
  }
}
