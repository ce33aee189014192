/**
 * What the endpoints need of an inbox.
 *
 * @module
 */
import type { CommandContract, InferResult } from '../commands/contract.ts';
import type { BoundMessage, MessageFor, Sent } from '../commands/message.ts';
import type { ExecuteOptions, SendOptions } from '../sending/inbox-types.ts';
import type { Entry } from '../store/entries.ts';

/** What `createInbox` returns, with or without the option `commands`. */
export interface EndpointInbox {
  send<Command extends CommandContract>(
    command: Command,
    message: MessageFor<Command>,
    options?: SendOptions,
  ): Promise<Sent>;
  sendMany(messages: readonly BoundMessage[], options?: SendOptions): Promise<Sent[]>;
  execute<Command extends CommandContract>(
    command: Command,
    message: MessageFor<Command>,
    options?: ExecuteOptions,
  ): Promise<InferResult<Command>>;
  status(messageId: string): Promise<Entry | null>;
}
