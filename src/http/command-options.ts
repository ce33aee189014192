/**
 * The options of {@link commandEndpoint}.
 *
 * @module
 */
import { isContract } from '../commands/contract.ts';
import type { CommandContract } from '../commands/contract.ts';
import type { MessageFor, MessageOptions, Sent } from '../commands/message.ts';
import { DEFAULT_MAX_PAYLOAD_BYTES } from '../commands/message-validation.ts';
import type { CommandLog } from '../core/command-log.ts';
import type { Json, JsonObject } from '../core/json.ts';
import { chooseLog } from '../platform/pino-log.ts';
import type { PinoLogger } from '../platform/pino-log.ts';
import type { Entry } from '../store/entries.ts';
import { aFunction, aLog, checkOptions, objectWith, optional, wholeNumber } from './check-options.ts';
import type { EndpointInbox } from './endpoint-inbox.ts';
import { documentedType } from './problem.ts';
import type { ProblemType } from './problem.ts';
import { statusBody } from './status-body.ts';

/** A message without its message_id. The command's schema checks the payload. */
export interface MessageContents extends Omit<MessageOptions, 'messageId'> {
  payload: unknown;
}

export interface CommandEndpointOptions<Command extends CommandContract> {
  inbox: EndpointInbox;
  command: Command;
  /**
   * Derives the message_id from the client's key. It runs for the POST and again for each GET of the status, and must return
   * the same id each time. Make the id from three parts: the name of the endpoint, so that the same key at another endpoint
   * is another message; the client's id, from its authentication, so that no client can read or use up the keys of another;
   * and the key. Use a separator that cannot be part of a client's id: with `-`, the client `a` with the key `b-c` would get
   * the same message_id as the client `a-b` with the key `c`.
   *
   * @example
   * messageId: (key, request) => `orders/${customerOf(request).id}/${key}`
   */
  messageId: (key: string, request: Request) => string;
  /**
   * How long a POST waits for the result, in ms, at most 5 minutes. Default 0: it answers as soon as the command is
   * accepted. With `send`, the wait looks for the result every 500 ms.
   */
  wait?: number;
  /**
   * The path that clients POST to, such as `/orders`. The status is then at `/orders/<key>`, and other paths are answered with
   * 404. By default the endpoint accepts every path, so your router must pass it the right requests; the status is at the path
   * of the POST plus `/<key>`.
   */
  path?: string;
  /**
   * Builds the message from the body. By default the body is the payload. To refuse the request, throw an HttpProblem or an
   * InvalidMessageError.
   */
  toMessage?: (body: Json, request: Request) => MessageContents | Promise<MessageContents>;
  /**
   * Called instead of `inbox.send`, so that you can send the message in a transaction of your own. It must resolve, after the
   * COMMIT, to what `inbox.send` returned. The command's schema has already checked the payload.
   *
   * @example
   * send: (message, key) =>
   *   inTransaction(pool, async (tx) => {
   *     const sent = await inbox.send(placeOrder, message, { tx });
   *     await tx.query('insert into order_requests (key) values ($1) on conflict do nothing', [key]);
   *     return sent;
   *   }),
   */
  send?: (message: MessageFor<Command>, key: string, request: Request) => Promise<Sent>;
  /** What a client sees of its command. Default {@link statusBody}. */
  describe?: (entry: Entry, key: string, request: Request) => JsonObject;
  /** Size limit of a body, in bytes. Default 1 MiB, at most 32 MiB. */
  maxBodyBytes?: number;
  /** Returns the URI for a problem code. By default it leads to the package's documentation. */
  problemType?: ProblemType;
  log?: CommandLog;
  /** An alternative to `log`: a logger of pino's shape. */
  logger?: PinoLogger;
}

/** The options with their defaults. */
export type CommandEndpointSettings = Omit<
  Required<CommandEndpointOptions<CommandContract>>,
  'path' | 'send' | 'logger'
> & {
  /** As `URL.pathname` has it. */
  path: string | null;
  send: CommandEndpointOptions<CommandContract>['send'];
};

const MAX_WAIT_MS = 300_000;
export const MAX_BODY_LIMIT = 33_554_432;

/** @throws ConfigurationError naming every invalid option */
export function readCommandOptions<Command extends CommandContract>(
  options: CommandEndpointOptions<Command>,
): CommandEndpointSettings {
  checkOptions('commandEndpoint', options, {
    inbox: anInbox,
    command: (value) => (isContract(value) ? null : 'must be a command or a contract'),
    messageId: aFunction,
    wait: optional(wholeNumber(0, MAX_WAIT_MS, 'milliseconds')),
    path: optional(pathProblem),
    toMessage: optional(aFunction),
    send: optional(aFunction),
    describe: optional(aFunction),
    maxBodyBytes: optional(wholeNumber(1, MAX_BODY_LIMIT, 'bytes')),
    problemType: optional(aFunction),
    log: optional(aLog),
    logger: optional(aLog),
  });
  const { inbox, command, messageId, path, send } = options;
  return {
    inbox,
    command,
    messageId,
    wait: options.wait ?? 0,
    path: path === undefined ? null : pathnameOf(path),
    toMessage: options.toMessage ?? ((payload) => ({ payload })),
    // The endpoint passes messages for its own command only.
    send: send as CommandEndpointSettings['send'],
    describe: options.describe ?? statusBody,
    maxBodyBytes: options.maxBodyBytes ?? DEFAULT_MAX_PAYLOAD_BYTES,
    problemType: options.problemType ?? documentedType,
    log: chooseLog(options),
  };
}

export const anInbox = objectWith('what createInbox resolves to', 'send', 'sendMany', 'execute', 'status');

function pathProblem(path: unknown): string | null {
  return typeof path === 'string' && /^(\/[^/?#]+)+$/.test(path)
    ? null
    : 'must be a path such as /orders, without a slash at the end, a query or a fragment';
}

const pathnameOf = (path: string) => new URL(path, 'http://localhost').pathname;
