/**
 * The interface of the inbox for senders.
 *
 * @module
 */
import type { Pool } from 'pg';
import type { CommandContract, InferResult } from '../commands/contract.ts';
import type { BoundMessage, MessageFor, NamedMessage, Sent } from '../commands/message.ts';
import type { CommandLog } from '../core/command-log.ts';
import type { Json } from '../core/json.ts';
import type { Entry } from '../store/entries.ts';
import type { SqlClient } from '../store/inserts.ts';

export interface InboxOptions<Commands extends CommandContract = CommandContract> {
  /** A pool for the database that contains the inbox's schema. The caller ends it, after {@link Inbox.close}. */
  pool: Pool;
  /**
   * A URL of the same database without a transaction-mode pooler, for LISTEN, which {@link Inbox.execute} uses. Default
   * INBOX_DIRECT_URL. Null for none: then LISTEN uses a connection like those of the pool.
   */
  directUrl?: string | null;
  /**
   * The commands that this service sends by name. The compiler then refuses other types and payloads that do not fit. Their
   * schemas are used only for messages that are sent by value.
   */
  commands?: readonly Commands[];
  /** Size limit of a payload, in bytes of its jsonb's text. Default and maximum 1 MiB. */
  maxPayloadBytes?: number;
  log?: CommandLog;
}

export interface SendOptions {
  /**
   * The transaction that the command commits or rolls back with: any client with a `query(text, values)` like that of `pg`,
   * or what an adapter returns. Without it, the messages are sent in a separate transaction, all or none.
   */
  tx?: SqlClient & NotAPool;
}

/** A pool has this property; a client has not. A pool may run each statement on another connection. */
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
  /** Called before the wait for the result, when Postgres has accepted the command or found its first message. */
  onSent?: (sent: Sent) => void;
}

export interface Inbox {
  /**
   * Accepts a command, once for each message_id. A worker's relay starts it after the COMMIT.
   *
   * With the command beside the message, the payload is validated by the command's schema before anything is stored. A
   * message by name is only checked to be valid JSON.
   *
   * @throws InvalidMessageError; IdempotencyConflictError or MessageLockedError, after which you must roll the transaction
   *   back; UnusableTransactionError if `tx` is a pool or an aborted transaction; InboxClosedError after {@link close}
   * @example
   * await inbox.send(reserveStock, { messageId: 'order-1', payload: { sku: 'a', quantity: 1 } }, { tx });
   */
  send<Command extends CommandContract>(
    command: Command,
    message: MessageFor<Command>,
    options?: SendOptions,
  ): Promise<Sent>;
  send(messages: readonly AnyMessage<CommandContract>[], options?: SendOptions): Promise<Sent[]>;
  send<Payload>(message: NamedMessage<CommandContract, Payload>, options?: SendOptions): Promise<Sent>;
  /**
   * Accepts several commands with one statement: all of them or, if it throws, none.
   *
   * @returns an answer for each message, in the same order
   * @throws the same errors as {@link send}
   * @example
   * await inbox.sendMany([message(reserveStock, { … }), message(shipOrder, { … })], { tx });
   */
  sendMany(messages: readonly AnyMessage<CommandContract>[], options?: SendOptions): Promise<Sent[]>;
  /**
   * Sends a command and waits for the handler's result. A duplicate gets the result of the first message.
   *
   * @throws DeadLetterError if the command became a dead letter; ResultTimeoutError, the signal's reason or InboxClosedError
   *   if the wait ended first; InvalidResultError if the result does not fit the contract's result schema;
   *   ConfigurationError for an invalid timeout; everything that {@link send} throws
   */
  execute<Command extends CommandContract>(
    command: Command,
    message: MessageFor<Command>,
    options?: ExecuteOptions,
  ): Promise<InferResult<Command>>;
  execute<Payload>(message: NamedMessage<CommandContract, Payload>, options?: ExecuteOptions): Promise<Json>;
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

/**
 * An inbox that knows its commands: what {@link createInbox} returns for the option `commands`. The compiler refuses
 * messages by name that do not fit one of them.
 */
export interface TypedInbox<Commands extends CommandContract> extends Pick<Inbox, 'status' | 'close'> {
  send<Command extends CommandContract>(
    command: Command,
    message: MessageFor<Command>,
    options?: SendOptions,
  ): Promise<Sent>;
  send(messages: readonly AnyMessage<Commands>[], options?: SendOptions): Promise<Sent[]>;
  send<Payload>(message: NamedMessage<Commands, Payload>, options?: SendOptions): Promise<Sent>;
  sendMany(messages: readonly AnyMessage<Commands>[], options?: SendOptions): Promise<Sent[]>;
  execute<Command extends CommandContract>(
    command: Command,
    message: MessageFor<Command>,
    options?: ExecuteOptions,
  ): Promise<InferResult<Command>>;
  execute<Type extends Commands['type'], Payload>(
    message: NamedMessage<Commands, Payload> & { type: Type },
    options?: ExecuteOptions,
  ): Promise<NamedResult<Commands, Type>>;
}

/** A message of a list: what `message` returned, or one by name. */
export type AnyMessage<Commands extends CommandContract> = BoundMessage | NamedMessage<Commands, Json>;

/** The result of the command with this name; any JSON if the inbox does not know its commands. */
export type NamedResult<
  Commands extends CommandContract,
  Type extends string,
> = string extends Commands['type'] ? Json : InferResult<Extract<Commands, { type: Type }>>;
