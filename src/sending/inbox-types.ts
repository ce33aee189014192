/**
 * The interface of the inbox for senders.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandContract, InferResult } from '../commands/contract.ts';
import type { AnyMessage, BoundMessage, MessageFor, Sendable, Sent } from '../commands/message.ts';
import type { CommandLog } from '../core/command-log.ts';
import type { PinoLogger } from '../platform/pino-log.ts';
import type { Json } from '../core/json.ts';
import type { Entry } from '../store/entries.ts';
import type { SqlClient } from '../core/sql-client.ts';

export interface InboxOptions<Commands extends CommandContract = CommandContract> {
  /** A pool for the database that contains the inbox's schema. The caller ends it, after {@link Inbox.close}. */
  pool: Pool;
  /**
   * A URL of the same database without a transaction-mode pooler, for LISTEN, which {@link Inbox.execute} uses. Default
   * INBOX_DIRECT_URL. Null for none: then LISTEN connects in the same way as the pool does.
   */
  directUrl?: string | null;
  /**
   * The commands that this service sends by name. The compiler then refuses other types and payloads that do not fit. Their
   * schemas are used only for messages that are sent by value.
   */
  commands?: readonly Commands[];
  /** Size limit of a payload, in bytes of its jsonb's text. Default and maximum 1 MiB. */
  maxPayloadBytes?: number;
  /** Receives log lines. Default: readable lines on stderr. */
  log?: CommandLog;
  /** Receives log lines, as an alternative to `log`: a logger of pino's shape. */
  logger?: PinoLogger;
}

export interface SendOptions {
  /**
   * The transaction that the command commits or rolls back with: any client with a `query(text, values)` like that of `pg`,
   * or what an adapter returns. Without it, the messages are sent in a separate transaction, all or none.
   */
  tx?: SqlClient & NotAPool;
}

/** Makes the compiler reject a pool, which may run each statement on another connection. Only a pool has this property. */
export interface NotAPool {
  readonly totalCount?: never;
}

export interface ExecuteOptions {
  /**
   * How long to wait, in ms, for Postgres to accept the command and for its result. Default 30 s. The command is processed
   * even if the wait ends.
   */
  timeoutMs?: number;
  /** Ends the wait, even while the command is being sent; the command may have been accepted in that case. */
  signal?: AbortSignal;
  /** Called before the wait for the result, as soon as it is known whether the command was accepted or is a duplicate. */
  onSent?: (sent: Sent) => void;
}

/** The inbox for senders. */
export interface Inbox extends Pick<TypedInbox<CommandContract>, keyof TypedInbox<CommandContract>> {}

/**
 * An inbox that knows its commands: what {@link createInbox} returns for the option `commands`. The compiler refuses
 * messages by name that do not fit one of them. It can be used wherever an {@link Inbox} is expected.
 */
export interface TypedInbox<Commands extends CommandContract> {
  /**
   * Accepts a command, once for each message_id. A worker's relay starts it after the COMMIT.
   *
   * The arguments are a command and its message, or a message that names its type, or a list of messages, followed by the
   * options. With the command, the payload is validated by the command's schema before anything is stored. A message by
   * name is only checked to be valid JSON.
   *
   * @returns the answer; for a list, an answer for each message in the same order
   * @throws InvalidMessageError; IdempotencyConflictError or MessageLockedError, after which you must roll the transaction
   *   back; UnusableTransactionError if `tx` is not a transaction, or has ended or was aborted; InboxClosedError after
   *   {@link close}
   * @example
   * await inbox.send(reserveStock, { messageId: 'order-1', payload: { sku: 'a', quantity: 1 } }, { tx });
   */
  send<Command extends CommandContract>(
    command: Command,
    message: MessageFor<Command>,
    options?: SendOptions,
  ): Promise<Sent>;
  // Takes commands, too: the compiler reports the error of the last signature, and this one points at the mistake.
  send<First, Type extends string>(
    first: First & { type?: Type } & Sendable<Commands, First, Type>,
    ...rest: RestOf<First, SendOptions>
  ): Promise<First extends readonly unknown[] ? Sent[] : Sent>;
  /**
   * Accepts several commands with one statement: all of them or, if it throws, none.
   *
   * @returns an answer for each message, in the same order
   * @throws the same errors as {@link send}
   * @example
   * await inbox.sendMany([message(reserveStock, { … }), message(shipOrder, { … })], { tx });
   */
  sendMany(messages: readonly AnyMessage<Commands>[], options?: SendOptions): Promise<Sent[]>;
  /**
   * Sends a command and waits for the handler's result. A duplicate gets the result of the first message. The arguments are
   * those of {@link send}, without lists.
   *
   * @throws DeadLetterError if the command became a dead letter; ResultTimeoutError, the signal's reason or InboxClosedError
   *   if the wait ended first; InvalidResultError if the result does not fit the contract's result schema; ResultPrunedError if
   *   retention has removed the result of a known command;
   *   ConfigurationError for an invalid timeout; everything that {@link send} throws
   */
  execute<Command extends CommandContract>(
    command: Command,
    message: MessageFor<Command>,
    options?: ExecuteOptions,
  ): Promise<InferResult<Command>>;
  execute<First, Type extends string>(
    first: First & { type?: Type } & (First extends readonly unknown[]
        ? never
        : Sendable<Commands, First, Type>),
    ...rest: RestOf<First, ExecuteOptions>
  ): Promise<ResultFor<Commands, First, Type>>;
  /**
   * Returns the entry, or null if none has this id. A login that may not read the table `inbox.entries` sees the messages
   * that it sent itself, and those with the prefix that `inbox.sender_limits` gives it.
   */
  status(messageId: string): Promise<Entry | null>;
  /**
   * Ends the waits of {@link execute} at once, lets the sends in progress finish, and refuses new ones. The pool stays open.
   * Further calls have no effect.
   */
  close(): Promise<void>;
}

/** The other arguments of `send`: after a command, its message comes first. */
export type RestOf<First, Options> = First extends CommandContract
  ? [message: MessageFor<First>, options?: Options]
  : [options?: Options];

/** The result of what `execute` was given; any JSON for a message by name if the inbox does not know its commands. */
export type ResultFor<
  Commands extends CommandContract,
  First,
  Type extends string,
> = First extends CommandContract
  ? InferResult<First>
  : First extends BoundMessage<infer Command>
    ? InferResult<Command>
    : string extends Commands['type']
      ? Json
      : InferResult<Extract<Commands, { type: Type }>>;
