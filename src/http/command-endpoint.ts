/**
 * An HTTP endpoint that accepts a command once for each `Idempotency-Key`, and shows its status.
 *
 * Source: draft-ietf-httpapi-idempotency-key-header-07. The draft's 409, for a repeat while the first request is still being
 * processed, does not occur: the repeat waits in Postgres until the first one is accepted, and is then a duplicate.
 *
 * @module
 */
import type { CommandContract } from '../commands/contract.ts';
import type { MessageFor, Sent } from '../commands/message.ts';
import { DEFAULT_MAX_PAYLOAD_BYTES } from '../commands/message-validation.ts';
import { ConfigurationError } from '../core/errors.ts';
import { checkMessage, toMessage as bind } from '../sending/accept-messages.ts';
import { inRequestContext, withRequestContext } from '../telemetry/request-context.ts';
import { isSettled } from '../store/entries.ts';
import type { Entry } from '../store/entries.ts';
import { respond } from './answer.ts';
import type { Answer, HttpHandler } from './answer.ts';
import { readCommandOptions } from './command-options.ts';
import type { CommandEndpointOptions, CommandEndpointSettings } from './command-options.ts';
import { checkDerivedId, isTooLong, keyOfSegment, readKey } from './idempotency-key.ts';
import { problem } from './problem.ts';
import type { HttpProblem } from './problem.ts';
import { refusingIssues } from './problem-of-error.ts';
import { parseExactJson, readBody, requireJson } from './request-body.ts';
import { sendAndWait } from './send-and-wait.ts';

/**
 * Creates a handler for `POST <path>`, which sends the command, and for `GET` and `HEAD` of `<path>/<key>`, which show its
 * status. The handler does not authenticate anyone: wrap it. docs/http.md has the table of answers.
 *
 * @throws ConfigurationError naming every invalid option
 * @example
 * const orders = commandEndpoint({
 *   inbox,
 *   command: placeOrder,
 *   path: '/orders',
 *   messageId: (key, request) => `orders/${customerOf(request).id}/${key}`,
 *   wait: 2_000,
 * });
 * const response = await orders(request);
 */
export function commandEndpoint<Command extends CommandContract>(
  options: CommandEndpointOptions<Command>,
): HttpHandler {
  const endpoint = readCommandOptions(options);
  const { log, problemType, command } = endpoint;
  const facts = { commandType: command.type };
  return (request) =>
    inRequestContext(request.headers, () =>
      respond(request, { log, problemType, facts }, () => route(endpoint, request)),
    );
}

const READS = ['GET', 'HEAD'];

function route(endpoint: CommandEndpointSettings, request: Request): Promise<Answer> {
  const path = new URL(request.url).pathname;
  const { isCollection, isStatus } = placeOf(endpoint, path);
  if (!isCollection && !isStatus) throw notFound();
  if (isCollection && request.method === 'POST') return post(endpoint, request, path);
  if (isStatus && READS.includes(request.method)) return show(endpoint, request, path);
  const allowed = [...(isStatus ? READS : []), ...(isCollection ? ['POST'] : [])].join(', ');
  throw problem('method-not-allowed', `allowed methods: ${allowed}`, { headers: { allow: allowed } });
}

/** Without the option `path`, every path can be either; the method then decides. */
function placeOf({ path }: CommandEndpointSettings, asked: string) {
  if (path === null) return { isCollection: true, isStatus: true };
  const isStatus = asked.startsWith(`${path}/`) && /^[^/]+$/.test(asked.slice(path.length + 1));
  return { isCollection: asked === path, isStatus };
}

function notFound(): HttpProblem {
  return problem('not-found', 'nothing was found here');
}

async function post(endpoint: CommandEndpointSettings, request: Request, path: string): Promise<Answer> {
  const { wait, describe } = endpoint;
  const key = readKey(request);
  const messageId = checkDerivedId(endpoint.messageId(key, request), key);
  requireJson(request);
  const body = parseExactJson(await readBody(request, endpoint.maxBodyBytes));
  const contents = await refusingIssues(() => endpoint.toMessage(body, request));
  const checked = await readMessage(endpoint, messageId, contents);
  const metadata = withRequestContext(request.headers, checked.metadata ?? {});
  const message = { ...checked, metadata };
  const { answer, entry } = await accept(endpoint, message, key, request);
  return {
    status: wait > 0 && entry.status === 'Completed' ? 200 : 202,
    body: describe(entry, key, request),
    headers: {
      location: statusPath(path, key),
      ...(answer === 'duplicate' && { 'idempotency-replayed': 'true' }),
    },
  };
}

/** Returns a path with a single slash at the beginning: a client would take what follows two slashes for another host. */
function statusPath(path: string, key: string): string {
  return `${path.replace(/\/+$/, '')}/${encodeURIComponent(key)}`.replace(/^\/+/, '/');
}

/**
 * Checks the message before a transaction begins.
 *
 * @throws InvalidMessageError naming every field that the command's schema refuses
 */
async function readMessage(
  { command }: CommandEndpointSettings,
  messageId: string,
  contents: object,
): Promise<MessageFor<CommandContract>> {
  const message = { ...contents, messageId } as MessageFor<CommandContract>;
  const { commandType: _, ...checked } = await checkMessage(
    bind(command, message),
    DEFAULT_MAX_PAYLOAD_BYTES,
  );
  return checked;
}

async function accept(
  endpoint: CommandEndpointSettings,
  message: MessageFor<CommandContract>,
  key: string,
  request: Request,
): Promise<Sent> {
  const { inbox, send, wait } = endpoint;
  const command = withoutSchema(endpoint.command);
  const sent = send ? checkSent(await send(message, key, request), message) : undefined;
  if (sent && (wait === 0 || isSettled(sent.entry))) return sent;
  if (wait === 0) return inbox.send(command, message);
  const { signal } = request;
  return sendAndWait({ inbox, command, message, waitMs: wait, signal, ...(sent && { sent }) });
}

/** Skips the schemas: the payload has already been checked, and the client gets the result as it is stored. */
function withoutSchema({ type }: CommandContract): CommandContract {
  const schema: CommandContract['schema'] = {
    '~standard': { version: 1, vendor: 'temporal-inbox', validate: (value) => ({ value }) },
  };
  return { type, schema };
}

/** @throws ConfigurationError if the option `send` resolved to anything but the answer to its message */
function checkSent(sent: Sent | undefined, { messageId }: MessageFor<CommandContract>): Sent {
  const isAnswer = sent?.answer === 'accepted' || sent?.answer === 'duplicate';
  if (isAnswer && sent.entry?.messageId === messageId) return sent;
  throw new ConfigurationError('send must resolve to what inbox.send returned for its message');
}

async function show(endpoint: CommandEndpointSettings, request: Request, path: string): Promise<Answer> {
  const key = keyOfSegment(path.split('/').at(-1)!);
  const entry = key === null ? null : await find(endpoint, key, request);
  if (key === null || !entry) throw notFound();
  return { status: 200, body: endpoint.describe(entry, key, request) };
}

/** Returns null if the key was not used, or its message_id belongs to a command of another type. */
async function find(
  { inbox, command, messageId }: CommandEndpointSettings,
  key: string,
  request: Request,
): Promise<Entry | null> {
  const id = messageId(key, request);
  if (isTooLong(id, key)) return null;
  const entry = await inbox.status(checkDerivedId(id, key));
  return entry?.commandType === command.type ? entry : null;
}
