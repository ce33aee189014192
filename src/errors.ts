/**
 * The errors that people throw into the inbox and get out of it. Each carries its data as readonly fields.
 *
 * @module
 */
import type { Duration } from './command.ts';
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

/** Thrown by a handler: try again, but not before this delay. Counts as a failed attempt like any other. */
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

  constructor(readonly messageId: string) {
    super(
      `message ${JSON.stringify(messageId)} has no result yet; it was accepted and goes on. ` +
        'Execute it again under the same message_id to wait for longer',
    );
  }
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

/**
 * Thrown by a publisher: the broker did not take the events. Of other errors the log has the name alone; this one's
 * message is logged, so it must say what to do, and have nothing in it of what the events carry.
 */
export class PublishError extends InboxError {
  override readonly name = 'PublishError';
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
