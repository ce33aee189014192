/**
 * A message, and the answer to a send.
 *
 * @module
 */
import type { Json, JsonObject } from '../core/json.ts';
import type { JsonCompatible } from '../core/json-type.ts';
import type { Entry } from '../store/entries.ts';
import type { CommandContract, InferPayload } from './contract.ts';

/** The fields of a message that do not depend on its command. */
export interface MessageOptions {
  /** The sender's idempotency key: 1 to 200 bytes of UTF-8, no control characters. */
  messageId: string;
  /** The flow that this message belongs to. */
  correlationId?: string | null;
  /** The direct parent: what caused this message. */
  causationId?: string | null;
  metadata?: JsonObject;
}

/** A command to send, with the name of its type. */
export interface Message<Payload = Json, Type extends string = string> extends MessageOptions {
  /** The command's type, such as `TransferFunds`. */
  type: Type;
  payload: Payload;
}

/** A message for a command that is passed separately, as an argument of its own. */
export interface MessageFor<Command extends CommandContract> extends MessageOptions {
  /** The input of the command's schema. */
  payload: InferPayload<Command>;
}

/**
 * The key of the command in a message that {@link message} has created. Registered globally, because a program may contain
 * several copies of this package.
 */
export const MESSAGE_COMMAND: unique symbol = Symbol.for('temporal-inbox.command');

/** A message that carries its command, for lists of messages. */
export interface BoundMessage<Command extends CommandContract = CommandContract>
  extends MessageOptions, Pick<Message<InferPayload<Command>, Command['type']>, 'type' | 'payload'> {
  readonly [MESSAGE_COMMAND]: Command;
}

/**
 * Binds a message to its command, so that messages for several commands fit into one list.
 *
 * @example
 * await inbox.sendMany([message(reserveStock, { messageId, payload }), message(shipOrder, { … })], { tx });
 */
export function message<Command extends CommandContract>(
  command: Command,
  fields: MessageFor<Command>,
): BoundMessage<Command> {
  return { ...fields, type: command.type, [MESSAGE_COMMAND]: command };
}

/**
 * A message by name, as the compiler checks it: if the commands are known, its type must be one of theirs and its payload
 * must fit that type; otherwise the payload must be JSON.
 */
export type NamedMessage<
  Commands extends CommandContract,
  Type extends string,
  Payload,
> = string extends Commands['type']
  ? Message<JsonCompatible<Payload>>
  : [Type] extends [Commands['type']]
    ? Message<InferPayload<Extract<Commands, { type: Type }>>, Type>
    : { type: OneOf<Commands['type']> };

declare const ONE_OF: unique symbol;

/** Stands in for the type of a message that no known command has, so that the compiler's message lists the known ones. */
export interface OneOf<Types extends string> {
  readonly [ONE_OF]: Types;
}

export interface Sent {
  answer: 'accepted' | 'duplicate';
  /** The stored entry. For a duplicate: the entry of the first message, with the result if it has completed. */
  entry: Entry;
}

/** The type that the first argument of `send` must have: a command, a bound message, a list, or a message by name. */
export type Sendable<
  Commands extends CommandContract,
  First,
  Type extends string,
> = First extends CommandContract
  ? unknown
  : First extends BoundMessage
    ? unknown
    : First extends readonly unknown[]
      ? readonly AnyMessage<Commands>[]
      : NamedMessage<Commands, Type, First extends { payload: infer Payload } ? Payload : never>;

/** A message of a list: what `message` returned, or one by name. */
export type AnyMessage<Commands extends CommandContract> =
  | BoundMessage
  | (string extends Commands['type'] ? Message<unknown> : MessageByName<Commands>);

/** The messages by name that these commands allow. */
export type MessageByName<Command> = Command extends CommandContract
  ? Message<InferPayload<Command>, Command['type']>
  : never;

/** Sends a command by value (the command and its message) or by name (a message with its type). */
export interface Send {
  <Command extends CommandContract>(command: Command, message: MessageFor<Command>): Promise<Sent>;
  <First, Type extends string>(
    first: First & { type?: Type } & Sendable<CommandContract, First, Type>,
    ...rest: First extends CommandContract ? [message: MessageFor<First>] : []
  ): Promise<Sent>;
}
