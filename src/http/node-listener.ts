/**
 * Serves a handler from Node's own HTTP server, and from frameworks that are built on it.
 *
 * @module
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { CommandLog } from '../core/command-log.ts';
import { ConfigurationError } from '../core/errors.ts';
import { chooseLog } from '../platform/pino-log.ts';
import type { PinoLogger } from '../platform/pino-log.ts';
import { errorFields } from '../platform/postgres-errors.ts';
import { aFunction, aLog, checkOptions, optional } from './check-options.ts';
import type { HttpHandler } from './answer.ts';

export interface NodeListenerOptions {
  /** Receives errors that the handler throws. The handlers of this package never throw. */
  log?: CommandLog;
  /** An alternative to `log`: a logger of pino's shape. */
  logger?: PinoLogger;
}

/**
 * Turns a handler into a listener for Node's HTTP server. The body must not have been read before, for example by a body
 * parser. The response is buffered, not streamed.
 *
 * @throws ConfigurationError for a handler that is not a function, or an unknown option
 * @example
 * createServer(toNodeListener(orders)).listen(8080);
 */
export function toNodeListener(handler: HttpHandler, options: NodeListenerOptions = {}): RequestListener {
  checkOptions(
    'toNodeListener',
    { ...options, handler },
    { handler: aFunction, log: optional(aLog), logger: optional(aLog) },
  );
  const log = chooseLog(options);
  return (incoming, outgoing) => {
    const disconnected = new AbortController();
    outgoing.on('close', () => {
      if (!outgoing.writableFinished) disconnected.abort();
    });
    answer(handler, incoming, outgoing, disconnected.signal).catch((error: unknown) => {
      log.error('a handler failed', errorFields(error));
      if (outgoing.headersSent) outgoing.destroy();
      else outgoing.writeHead(500).end();
    });
  };
}

async function answer(
  handler: HttpHandler,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const request = toRequest(incoming, outgoing, signal);
  if (!request) {
    outgoing.writeHead(400).end();
    return;
  }
  const response = await handler(request);
  const body = Buffer.from(await response.arrayBuffer());
  outgoing.statusCode = response.status;
  for (const [name, value] of response.headers) if (name !== 'set-cookie') outgoing.setHeader(name, value);
  const cookies = response.headers.getSetCookie();
  if (cookies.length > 0) outgoing.setHeader('set-cookie', cookies);
  outgoing.end(body);
}

/** Returns null for a request that the web's `Request` cannot represent: an invalid address or header, or TRACE. */
function toRequest(incoming: IncomingMessage, outgoing: ServerResponse, signal: AbortSignal): Request | null {
  const method = incoming.method ?? 'GET';
  const hasBody = method !== 'GET' && method !== 'HEAD';
  try {
    const headers = new Headers();
    for (let at = 0; at < incoming.rawHeaders.length; at += 2)
      headers.append(incoming.rawHeaders[at]!, incoming.rawHeaders[at + 1]!);
    return new Request(urlOf(incoming), {
      method,
      headers,
      signal,
      ...(hasBody && { body: bodyOf(incoming, outgoing), duplex: 'half' as const }),
    });
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}

const HOST = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i;

/** @throws TypeError if the address is invalid */
function urlOf(incoming: IncomingMessage & { originalUrl?: unknown }): URL {
  // Frameworks remove the part that a route has matched from `url`, and keep the full address here.
  const { originalUrl, url = '/' } = incoming;
  const target = typeof originalUrl === 'string' ? originalUrl : url;
  const host = incoming.headers.host ?? 'localhost';
  if (!HOST.test(host) || !target.startsWith('/'))
    throw new TypeError('the address of the request is invalid');
  return new URL(`${'encrypted' in incoming.socket ? 'https' : 'http'}://${host}${target}`);
}

/**
 * Streams the body. What the handler does not read is read here and discarded: a client that is still sending would otherwise
 * get a connection reset instead of the answer. The server's `requestTimeout` limits how long that takes.
 */
function bodyOf(incoming: IncomingMessage, outgoing: ServerResponse): ReadableStream<Uint8Array> {
  let state: 'unread' | 'wanted' | 'unwanted' = 'unread';
  const discard = () => {
    state = 'unwanted';
    incoming.resume();
  };
  outgoing.once('finish', discard);

  function begin(controller: ReadableStreamDefaultController<Uint8Array>): void {
    if (incoming.readableDidRead) {
      throw new ConfigurationError(
        'the body was read before it came to toNodeListener, for example by a body parser',
      );
    }
    if (incoming.destroyed) throw new Error('the connection was closed');
    state = 'wanted';
    incoming.on('data', (chunk: Buffer) => {
      if (state !== 'wanted') return;
      controller.enqueue(chunk);
      incoming.pause();
    });
    incoming.on('end', () => {
      if (state === 'wanted') controller.close();
    });
    incoming.on('error', (error) => {
      if (state === 'wanted') controller.error(error);
    });
  }

  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        if (state === 'unread') begin(controller);
        incoming.resume();
      },
      cancel: discard,
    },
    { highWaterMark: 0 },
  );
}
