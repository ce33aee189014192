/**
 * Runs a command's handler, and checks its payload, result and events.
 *
 * @module
 */
import type { HandlerContext, OutboxEvent } from '../commands/define-command.ts';
import type { CommandLog } from '../core/command-log.ts';
import { checkJson } from '../commands/message-validation.ts';
import { InvalidMessageError } from '../core/errors.ts';
import { checkEvent } from './event-limits.ts';
import { inboxFailure } from './failure-report.ts';
import type { Json } from '../core/json.ts';
import { FAILURE } from '../core/protocol.ts';
import type { RegisteredCommand } from '../commands/registry.ts';
import { sendMessages } from '../sending/accept-messages.ts';
import type { Message } from '../commands/message.ts';
import type { Entry, StoredEvent } from '../store/entries.ts';
import { AttemptScope } from './attempt-scope.ts';
import { watchStrayErrors } from './stray-errors.ts';
import { ReportedFailure } from './handler-transaction.ts';
import type { HandlerTransaction } from './handler-transaction.ts';

export interface HandlerLimits {
  maxPayloadBytes: number;
  /** Called with each command that the handler sends. */
  onSend?: (message: Message) => void;
}

export interface Handled {
  result: Json;
  events: StoredEvent[];
}

/**
 * Runs the handler of one attempt.
 *
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
): Promise<Handled> {
  watchStrayErrors();
  const events: StoredEvent[] = [];
  const scope = new AttemptScope(entry.messageId, log);
  signal.addEventListener('abort', () => scope.close(), { once: true });
  const tx = transaction.facade;
  transaction.onQuery = (work) => scope.track('tx.query', work);
  const send = async (message: Message) => {
    const caused = {
      correlationId: entry.correlationId ?? entry.messageId,
      causationId: entry.messageId,
      ...message,
    };
    const [sent] = await sendMessages(tx, [caused], limits.maxPayloadBytes);
    limits.onSend?.(caused);
    return sent!;
  };
  const context: Omit<HandlerContext<unknown>, 'payload'> = {
    messageId: entry.messageId,
    type: entry.commandType,
    metadata: entry.metadata,
    correlationId: entry.correlationId,
    causationId: entry.causationId,
    receivedAt: entry.receivedAt,
    attempt: entry.retryCount + 1,
    generation: entry.generation,
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
    signal,
    send(message) {
      const sending = send(message);
      scope.track('send', sending);
      sending.catch((error: unknown) => scope.note(error));
      return sending;
    },
    log,
  };
  const result: unknown = await scope.run(async () => {
    const payload = await parsePayload(command, entry.payload);
    return command.definition.handle({ ...context, payload });
  });
  transaction.throwIfRefused();
  if (transaction.hasOpenNested) throw openTransactionFailure();
  return { result: storedResult(result, limits), events };
}

function openTransactionFailure(): ReportedFailure {
  const problem =
    'the handler returned while a nested transaction was still open; everything was rolled back. ' +
    'Await that transaction, and end it with COMMIT or ROLLBACK';
  return new ReportedFailure(inboxFailure(FAILURE.forgottenAwait, problem, true));
}

/** @throws ReportedFailure (unrecoverable) that names each invalid field, but never its value */
export async function parsePayload(command: RegisteredCommand, payload: Json): Promise<unknown> {
  const parsed = await command.definition.schema.safeParseAsync(payload);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(
    (issue) => `${['payload', ...issue.path].join('.')}: ${issue.message}`,
  );
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
  return structuredClone(stored);
}

/** Undefined is stored as null, because JSON has no undefined. */
function storedResult(result: unknown, limits: HandlerLimits): Json {
  try {
    return checkJson(result ?? null, 'result', limits.maxPayloadBytes);
  } catch (error) {
    if (!(error instanceof InvalidMessageError)) throw error;
    const problem = `${error.message}; the handler must return JSON, and its transaction was rolled back`;
    throw new ReportedFailure(inboxFailure(FAILURE.invalidResult, problem, false));
  }
}
