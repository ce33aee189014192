/**
 * The errors that people throw into the inbox and get out of it. Each carries its data as readonly fields.
 *
 * @module
 */
import type { Duration } from './duration.ts';
import type { Json, JsonObject } from './json.ts';

/** Base of the errors this package throws at its callers. */
export class InboxError extends Error {
  override readonly name: string = 'InboxError';
}

/**
 * Thrown by a handler: trying again cannot help, a person must. The command becomes a dead letter at once.
 *
 * @example
 * throw new UnrecoverableError('InsufficientFunds', { account: 'a' });
 */
export class UnrecoverableError extends Error {
  override readonly name = 'UnrecoverableError';

  constructor(
    /** The kind of failure, which dead letters are grouped by: short, and without data. */
    readonly type: string,
    /** What a person needs to understand it. It is stored and shown, so no secrets. */
    readonly details: JsonObject = {},
    options: { message?: string; cause?: unknown } = {},
  ) {
    super(options.message ?? describeDetails(details), { cause: options.cause });
  }
}

/**
 * Thrown by a handler: try again, but not before this delay. Counts as a failed attempt like any other. More than 30 days
 * are 30 days; a delay that is negative or no duration leaves the choice to the retry policy.
 */
export class RetryAfterError extends Error {
  override readonly name = 'RetryAfterError';

  constructor(
    readonly delay: Duration,
    message = 'asked to be tried again later',
    options: { cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
  }
}

/** The message_id is known with another command type or payload. The first one is left as it was. */
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
 * Another transaction has stored one of these message ids and has not ended, so that nobody can tell yet whether the message is
 * a duplicate. Nothing was stored; in a transaction of the caller's, roll it back. Sending it again later helps.
 */
export class MessageLockedError extends InboxError {
  override readonly name = 'MessageLockedError';

  constructor(
    /** The messages that were sent by the same call; one of them is held. */
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
      `${which} is held by another transaction that has not ended after ${waitedMs} ms; nothing was stored, send it again later`,
      options,
    );
  }
}

/** The input cannot become an entry; nothing was stored. */
export class InvalidMessageError extends InboxError {
  override readonly name = 'InvalidMessageError';

  constructor(
    /** The field at fault, such as `messageId` or `payload.items[3]`. */
    readonly field: string,
    readonly problem: string,
  ) {
    super(`${field} ${problem}`);
  }
}

/** A command's settings make no sense; found when the worker starts. */
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
    super(`no entry has the message_id ${JSON.stringify(messageId)}; \`inbox list\` shows those there are`);
  }
}

/** The entry is not in a state in which this can be done; nothing was changed. */
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

/** The command that a result was waited for is a dead letter: no result comes until a person acts. */
export class DeadLetterError extends InboxError {
  override readonly name = 'DeadLetterError';

  constructor(
    readonly messageId: string,
    /** The last failure, as `Type: message`. */
    readonly error: string,
  ) {
    super(`message ${JSON.stringify(messageId)} is a dead letter (${error}); it waits for replay or discard`);
  }
}

/** The wait for a result ended. The command goes on; the same message_id asks for its result again. */
export class ResultTimeoutError extends InboxError {
  override readonly name = 'ResultTimeoutError';

  constructor(
    readonly messageId: string,
    /** False: Postgres had not answered the send yet, so the command may or may not be there. */
    readonly accepted = true,
  ) {
    super(
      `message ${JSON.stringify(messageId)} has no result yet; ` +
        (accepted ? 'it was accepted and goes on. ' : 'Postgres has not confirmed that it was accepted. ') +
        'Execute it again under the same message_id to wait for longer',
    );
  }
}

/** {@link Inbox.close} was called. What was accepted goes on without this process. */
export class InboxClosedError extends InboxError {
  override readonly name = 'InboxClosedError';

  constructor(
    /** The message whose result was waited for; null for a call after the close. */
    readonly messageId: string | null = null,
  ) {
    super(
      messageId === null
        ? 'the inbox is closed; create another one with createInbox'
        : `the inbox was closed before message ${JSON.stringify(messageId)} had a result. ` +
            'Execute it again under the same message_id to get it',
    );
  }
}

/** A send cannot be part of the transaction that it was given; nothing was stored. */
export class UnusableTransactionError extends InboxError {
  override readonly name = 'UnusableTransactionError';
}

/** A worker was asked to run for a second time, or after its end. */
export class WorkerEndedError extends InboxError {
  override readonly name = 'WorkerEndedError';
}

/** The worker refused what an operator asked for, for example a payload that fails the schema; nothing was changed. */
export class RequestRefusedError extends InboxError {
  override readonly name = 'RequestRefusedError';

  constructor(
    readonly messageId: string,
    readonly problem: string,
  ) {
    super(`message ${JSON.stringify(messageId)}: the request was refused: ${problem}`);
  }
}

const TAKEN_REMEDY = 'terminate that workflow or let it finish; the inbox then starts its own by itself';

/**
 * Another workflow of the namespace uses the workflow ID that a command, a campaign or an alert needs. It is never signaled;
 * once it has ended, the inbox starts its own by itself.
 */
export class WorkflowIdTakenError extends InboxError {
  override readonly name = 'WorkflowIdTakenError';

  constructor(
    readonly workflowId: string,
    /** Of the workflow that uses it. */
    readonly workflowType: string,
    readonly taskQueue: string,
    readonly runId: string,
    /** The id of the other inbox that started it; null when no inbox did. */
    readonly inbox: string | null,
  ) {
    const whose = inbox === null ? '' : ` of another inbox (${inbox})`;
    const problem =
      `another workflow${whose} uses the workflow ID ${JSON.stringify(workflowId)}: type ${workflowType}, task queue ` +
      `${taskQueue}, run ${runId}`;
    super(`${problem}; nothing was asked of it. To get on: ${TAKEN_REMEDY}`);
    this.problem = problem;
  }

  /** Whose workflow it is. */
  readonly problem: string;
  readonly remedy = TAKEN_REMEDY;
}

/** No campaign has this id. */
export class UnknownCampaignError extends InboxError {
  override readonly name = 'UnknownCampaignError';

  constructor(readonly campaignId: string) {
    super(`no campaign has the id ${JSON.stringify(campaignId)}; \`inbox campaigns\` lists those there are`);
  }
}

/** No event with this id is in the state that the request needs. */
export class UnknownEventError extends InboxError {
  override readonly name = 'UnknownEventError';

  constructor(
    readonly eventId: string,
    readonly problem: string,
  ) {
    super(`event ${JSON.stringify(eventId)} ${problem}; \`inbox outbox list\` shows the parked events`);
  }
}

/** The campaign cannot be made, or is not in a state in which this can be done. */
export class CampaignError extends InboxError {
  override readonly name = 'CampaignError';

  constructor(
    /** Null where there is none yet. */
    readonly campaignId: string | null,
    readonly problem: string,
  ) {
    super(campaignId === null ? `no campaign: ${problem}` : `campaign ${campaignId} ${problem}`);
  }
}

/** What a publisher knows about the events of a batch that failed. */
export interface PublishErrorOptions {
  cause?: unknown;
  /**
   * Ids of events that the broker rejects, each for its own sake, with the reason. Their aggregates are parked. Every other
   * event counts as published, except later events of these aggregates, which must not have been sent; give `published` where
   * that is not so.
   */
  rejected?: readonly { id: string; problem: string }[];
  /** Ids of the events that the broker has stored. The others come again. */
  published?: readonly string[];
  /** The broker cannot be reached, or takes nothing at all: the relay backs off as a whole and parks nothing. */
  unavailable?: boolean;
}

/**
 * Thrown by a publisher: the broker did not store all events. Its message is logged and stored, unlike that of other errors,
 * so it must say what to do and must not contain what the events carry.
 *
 * @example
 * throw new PublishError('1 of 200 events was rejected', { rejected: [{ id: event.id, problem: 'larger than 1 MB' }] });
 */
export class PublishError extends InboxError {
  override readonly name = 'PublishError';
  readonly rejected: readonly { id: string; problem: string }[];
  /** Null: all that is not rejected or behind a rejected event; nothing if none is rejected. */
  readonly published: readonly string[] | null;
  readonly unavailable: boolean;

  constructor(message: string, options: PublishErrorOptions = {}) {
    super(message, { cause: options.cause });
    this.rejected = options.rejected ?? [];
    this.published = options.published ?? null;
    this.unavailable = options.unavailable ?? false;
  }
}

/** The database's schema does not fit this version of the package. */
export class SchemaError extends InboxError {
  override readonly name = 'SchemaError';
}

/** A migration did not get its locks in time; the message names the sessions that hold them. Nothing of it was applied. */
export class MigrationBlockedError extends InboxError {
  override readonly name = 'MigrationBlockedError';
}

/** A setting is missing or wrong; the message names each one and what it takes. */
export class ConfigurationError extends InboxError {
  override readonly name = 'ConfigurationError';
}

/** Nobody answers at an address. It may be wrong; or the server is away, and comes back by itself. */
export class UnreachableError extends InboxError {
  override readonly name = 'UnreachableError';
}

function describeDetails(details: Record<string, Json>): string {
  return Object.entries(details)
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ');
}
