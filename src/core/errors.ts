/**
 * The errors that handlers and publishers throw to the inbox, and those that the inbox throws to its callers. Each carries
 * its data in readonly fields.
 *
 * @module
 */
import type { Duration } from './duration.ts';
import type { Json, JsonObject } from './json.ts';

/**
 * Makes `instanceof` work for errors of another copy of this package, as a package of shared contracts may bring. Subclasses are
 * compared as usual.
 */
function isInstance(base: { name: string }, self: unknown, value: unknown): boolean {
  if (self !== base) return Function.prototype[Symbol.hasInstance].call(self, value);
  return typeof value === 'object' && value !== null && (value as { [KIND]?: unknown })[KIND] === base.name;
}
const KIND = Symbol.for('temporal-inbox.error');

/** Base class of the errors that this package throws to its callers. */
export class InboxError extends Error {
  override readonly name: string = 'InboxError';
}

/**
 * Thrown by a handler when a retry cannot help and someone has to fix the cause. The command becomes a dead letter at once.
 *
 * @example
 * throw new UnrecoverableError('AccountClosed', { account: 'a' });
 */
export class UnrecoverableError extends Error {
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isInstance(UnrecoverableError, this, value);
  }

  override readonly name = 'UnrecoverableError';
  /** @internal */
  readonly [KIND] = 'UnrecoverableError';

  constructor(
    /** The kind of failure: short, and without data, because dead letters are grouped by it. */
    readonly type: string,
    /** Facts that help to understand the failure. They are stored and shown, so they must not contain secrets. */
    readonly details: JsonObject = {},
    options: { message?: string; cause?: unknown } = {},
  ) {
    super(options.message ?? describeDetails(details), { cause: options.cause });
    this.isDescribedByDetails = options.message === undefined;
  }

  /** True if the message was made from the details, because none was given. */
  readonly isDescribedByDetails: boolean;
}

/**
 * Thrown by a handler to ask for a retry after at least this delay. It counts as a failed attempt like any other. Delays
 * over 30 days are shortened to 30 days. If the delay is negative or not a duration, the retry policy sets the delay.
 */
export class RetryAfterError extends Error {
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isInstance(RetryAfterError, this, value);
  }

  override readonly name = 'RetryAfterError';
  /** @internal */
  readonly [KIND] = 'RetryAfterError';

  constructor(
    readonly delay: Duration,
    message = 'the handler asked for a later retry',
    options: { cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
  }
}

/** The message_id was accepted before with another command type or payload. The first message is unchanged. */
export class IdempotencyConflictError extends InboxError {
  override readonly name = 'IdempotencyConflictError';

  constructor(readonly messageId: string) {
    super(
      `message ${JSON.stringify(messageId)} was accepted before with another command type or payload; ` +
        'a new command needs a new message_id',
    );
  }
}

/**
 * Another open transaction has stored one of these message ids, so it is not known yet whether the message is a duplicate.
 * Nothing was stored. If you sent the message in a transaction of your own, roll it back. Send the message again later.
 */
export class MessageLockedError extends InboxError {
  override readonly name = 'MessageLockedError';

  constructor(
    /** The messages sent by this call; at least one of them is locked. */
    readonly messageIds: readonly string[],
    /** How long the send waited, in ms. */
    readonly waitedMs: number,
    options: { cause?: unknown } = {},
  ) {
    const [first, ...others] = messageIds;
    const which =
      others.length === 0
        ? `message ${JSON.stringify(first)}`
        : `one of ${messageIds.length} messages (${JSON.stringify(first)}, …)`;
    super(
      `${which} is locked by another transaction, which did not end within ${waitedMs} ms; nothing was stored. Send it again later`,
      options,
    );
  }
}

/** A field of a message, and what is wrong with it. */
export interface InvalidField {
  /** For example `messageId` or `payload.items[3]`. */
  readonly field: string;
  readonly problem: string;
}

/** The message is invalid. Nothing was stored. */
export class InvalidMessageError extends InboxError {
  override readonly name = 'InvalidMessageError';
  /** All invalid fields that were found. The first one is also in `field` and `problem`. */
  readonly problems: readonly InvalidField[];

  constructor(
    /** The first invalid field, such as `messageId` or `payload.items[3]`. */
    readonly field: string,
    readonly problem: string,
    others: readonly InvalidField[] = [],
  ) {
    const problems = [{ field, problem }, ...others];
    super(problems.map((each) => `${each.field} ${each.problem}`).join('; '));
    this.problems = problems;
  }
}

/** A command is invalid. Thrown where it is declared or used, for its type or schema; otherwise when the worker starts. */
export class InvalidCommandError extends InboxError {
  override readonly name = 'InvalidCommandError';

  constructor(
    readonly commandType: string,
    readonly problem: string,
  ) {
    super(`command ${JSON.stringify(commandType)}: ${problem}`);
  }
}

/** No entry has this message_id. */
export class UnknownMessageError extends InboxError {
  override readonly name = 'UnknownMessageError';

  constructor(readonly messageId: string) {
    super(`no entry has the message_id ${JSON.stringify(messageId)}; \`inbox list\` shows the existing ones`);
  }
}

/** The entry's status does not allow the requested action. Nothing was changed. */
export class NotADeadLetterError extends InboxError {
  override readonly name = 'NotADeadLetterError';

  constructor(
    readonly messageId: string,
    readonly status: string,
    what: string,
  ) {
    super(`message ${JSON.stringify(messageId)} ${what}`);
  }
}

/** The failure that made a command a dead letter. */
export interface DeadLetterFailure {
  /** The last failure, as `Type: message`. The message may repeat parts of the payload or of another system's answer. */
  readonly error: string;
  /** The kind of failure, such as `UnknownProduct`: the type of the handler's {@link UnrecoverableError}, for example. */
  readonly errorType: string;
  /** The details that the handler gave its {@link UnrecoverableError}; null for other errors and for details over 4 KB. */
  readonly details: JsonObject | null;
  /** The key that dead letters with the same cause share. */
  readonly failureGroup: string;
}

/**
 * The command became a dead letter while its result was awaited. There is no result until someone replays it.
 *
 * Base what you tell your users on `errorType` and, if your handlers put only harmless facts there, on `details`. The message
 * and `error` are meant for logs and operators.
 */
export class DeadLetterError extends InboxError implements DeadLetterFailure {
  override readonly name = 'DeadLetterError';
  readonly error: string;
  readonly errorType: string;
  readonly details: JsonObject | null;
  readonly failureGroup: string;

  constructor(
    readonly messageId: string,
    { error, errorType, details, failureGroup }: DeadLetterFailure,
  ) {
    super(`message ${JSON.stringify(messageId)} is a dead letter (${error}); replay it or discard it`);
    this.error = error;
    this.errorType = errorType;
    this.details = details;
    this.failureGroup = failureGroup;
  }
}

/**
 * The command has completed, but its result does not fit the schema that the contract declares: the worker and the sender
 * have different versions of the contract.
 */
export class InvalidResultError extends InboxError {
  override readonly name = 'InvalidResultError';

  constructor(
    readonly messageId: string,
    /** The parts of the result that do not fit. */
    readonly problems: readonly InvalidField[],
  ) {
    const list = problems.map(({ field, problem }) => `${field} ${problem}`).join('; ');
    super(
      `message ${JSON.stringify(messageId)} has completed, but its result does not fit the contract: ${list}; ` +
        'use the same version of the contract in the worker and in the sender',
    );
  }
}

/**
 * The command has completed, but retention has removed its result. A duplicate that is sent without its command gets null
 * instead.
 */
export class ResultPrunedError extends InboxError {
  override readonly name = 'ResultPrunedError';

  constructor(readonly messageId: string) {
    super(
      `message ${JSON.stringify(messageId)} has completed, and its result has been pruned since; ` +
        'keep results that late repeats need in a table of your own',
    );
  }
}

/**
 * There was no result within the time limit. If the command was accepted, it is still processed; execute it again with the
 * same message_id to get the result.
 */
export class ResultTimeoutError extends InboxError {
  override readonly name = 'ResultTimeoutError';

  constructor(
    readonly messageId: string,
    /** False if Postgres had not confirmed the send yet: the command may or may not have been stored. */
    readonly accepted = true,
  ) {
    super(
      `message ${JSON.stringify(messageId)} has no result yet; ` +
        (accepted
          ? 'it was accepted and will be processed. '
          : 'Postgres has not confirmed that it was accepted. ') +
        'Execute it again with the same message_id to keep waiting',
    );
  }
}

/** {@link Inbox.close} was called. Workers still process the commands that were accepted. */
export class InboxClosedError extends InboxError {
  override readonly name = 'InboxClosedError';

  constructor(
    /** The message whose result was awaited, or null if the call came after the close. */
    readonly messageId: string | null = null,
  ) {
    super(
      messageId === null
        ? 'the inbox is closed; create another one with createInbox'
        : `the inbox was closed before message ${JSON.stringify(messageId)} had a result. ` +
            'Execute it again with the same message_id to get the result',
    );
  }
}

/** The given transaction cannot be used: it is a pool, has not begun, has ended or was aborted. Nothing was stored. */
export class UnusableTransactionError extends InboxError {
  override readonly name = 'UnusableTransactionError';
}

/** `run` was called twice, or after the worker had ended. */
export class WorkerEndedError extends InboxError {
  override readonly name = 'WorkerEndedError';
}

/** The worker refused an operator's request, for example because a payload fails the schema. Nothing was changed. */
export class RequestRefusedError extends InboxError {
  override readonly name = 'RequestRefusedError';

  constructor(
    readonly messageId: string,
    readonly problem: string,
  ) {
    super(`message ${JSON.stringify(messageId)}: the request was refused: ${problem}`);
  }
}

const TAKEN_REMEDY =
  'terminate that workflow or let it finish; the inbox then starts its own workflow automatically';

/**
 * Another workflow in the namespace uses the workflow ID that a command, a campaign or an alert needs. The inbox never
 * signals that workflow. When it has ended, the inbox starts its own workflow automatically.
 */
export class WorkflowIdTakenError extends InboxError {
  override readonly name = 'WorkflowIdTakenError';

  constructor(
    readonly workflowId: string,
    /** The type of the workflow that uses the ID. The next two fields belong to the same workflow. */
    readonly workflowType: string,
    readonly taskQueue: string,
    readonly runId: string,
    /** The id of the other inbox that started the workflow, or null if no inbox did. */
    readonly inbox: string | null,
  ) {
    const whose = inbox === null ? '' : ` of another inbox (${inbox})`;
    const problem =
      `another workflow${whose} uses the workflow ID ${JSON.stringify(workflowId)}: type ${workflowType}, task queue ` +
      `${taskQueue}, run ${runId}`;
    super(`${problem}; that workflow was not signaled. To continue: ${TAKEN_REMEDY}`);
    this.problem = problem;
  }

  /** Which workflow uses the ID. */
  readonly problem: string;
  readonly remedy = TAKEN_REMEDY;
}

/** No campaign has this id. */
export class UnknownCampaignError extends InboxError {
  override readonly name = 'UnknownCampaignError';

  constructor(readonly campaignId: string) {
    super(
      `no campaign has the id ${JSON.stringify(campaignId)}; \`inbox campaigns\` lists the existing ones`,
    );
  }
}

/** No event with this id is in the state that the request requires. */
export class UnknownEventError extends InboxError {
  override readonly name = 'UnknownEventError';

  constructor(
    readonly eventId: string,
    readonly problem: string,
  ) {
    super(`event ${JSON.stringify(eventId)} ${problem}; \`inbox outbox list\` shows the parked events`);
  }
}

/** The campaign cannot be created, or its state does not allow the requested action. */
export class CampaignError extends InboxError {
  override readonly name = 'CampaignError';

  constructor(
    /** Null if the campaign was not created. */
    readonly campaignId: string | null,
    readonly problem: string,
  ) {
    super(
      campaignId === null ? `the campaign was not created: ${problem}` : `campaign ${campaignId} ${problem}`,
    );
  }
}

/** What a publisher knows about the events of a failed batch. */
export interface PublishErrorOptions {
  cause?: unknown;
  /**
   * Ids of events that the broker rejected individually, with the reason. The relay parks their aggregates. All other events
   * count as published, except later events of the same aggregates, which must not have been sent. If that is not the case,
   * set `published`.
   */
  rejected?: readonly { id: string; problem: string }[];
  /** Ids of the events that the broker has stored. The relay publishes all others again. */
  published?: readonly string[];
  /** The broker is unreachable or accepts no events: the relay backs off and parks nothing. */
  unavailable?: boolean;
}

/**
 * Thrown by a publisher when the broker did not store all events. Unlike the messages of other errors, this one is logged
 * and stored: it must say what to do, and must not contain data from the events.
 *
 * @example
 * throw new PublishError('1 of 200 events was rejected', { rejected: [{ id: event.id, problem: 'larger than 1 MB' }] });
 */
export class PublishError extends InboxError {
  override readonly name = 'PublishError';
  readonly rejected: readonly { id: string; problem: string }[];
  /**
   * Null if not set. Then, if some events were rejected, all others count as published, except later events of the same
   * aggregates. If no event was rejected, none counts as published.
   */
  readonly published: readonly string[] | null;
  readonly unavailable: boolean;

  constructor(message: string, options: PublishErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.rejected = options.rejected ?? [];
    this.published = options.published ?? null;
    this.unavailable = options.unavailable ?? false;
  }
}

/** The database schema does not match this version of the package. */
export class SchemaError extends InboxError {
  override readonly name = 'SchemaError';
}

/** A migration did not get its locks in time. The message names the sessions that hold them. Nothing of it was applied. */
export class MigrationBlockedError extends InboxError {
  override readonly name = 'MigrationBlockedError';
}

/** Settings are missing or invalid. The message names each one and the values it accepts. */
export class ConfigurationError extends InboxError {
  override readonly name = 'ConfigurationError';
}

/** A server did not answer. The address may be wrong, or the server may be down for a while. */
export class UnreachableError extends InboxError {
  override readonly name = 'UnreachableError';
}

/**
 * Thrown by `runCommand` of the testing kit if the inbox itself made the attempt fail. Errors that the handler or `prepare`
 * throws are passed on as they are.
 */
export class AttemptFailedError extends InboxError {
  override readonly name = 'AttemptFailedError';

  constructor(
    readonly messageId: string,
    readonly commandType: string,
    /** The type of the failure that a worker would store: `InvalidPayload`, `InvalidResult`, `Timeout` and so on. */
    readonly errorType: string,
    readonly problem: string,
    /** False if a worker would not retry the command: it becomes a dead letter at once. */
    readonly retryable: boolean,
    options: { cause?: unknown } = {},
  ) {
    super(`${commandType} failed with ${errorType}: ${problem}`, options);
  }
}

/** A test waited too long for messages to reach a status. The message says which status they have. */
export class WaitTimeoutError extends InboxError {
  override readonly name = 'WaitTimeoutError';

  constructor(
    /** The state that the test waited for. */
    readonly expected: string,
    /** What the test found instead. */
    readonly found: string,
    readonly timeoutMs: number,
  ) {
    super(`${expected} within ${timeoutMs} ms: ${found}`);
  }
}

function describeDetails(details: Record<string, Json>): string {
  return Object.entries(details)
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ');
}
