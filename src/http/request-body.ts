/**
 * Reads the body of a request up to a limit, and parses JSON.
 *
 * @module
 */
import { ConfigurationError, InvalidMessageError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';
import { findInexactNumber } from '../core/json-text.ts';
import { problem } from './problem.ts';

/** @throws HttpProblem 415 for a body that is not JSON in UTF-8 */
export function requireJson({ headers }: Request): void {
  const type = headers.get('content-type') ?? '';
  if (/^application\/json *(?:; *charset="?utf-8"? *)?$/i.test(type)) return;
  const detail = 'the body must be application/json in UTF-8';
  throw problem('unsupported-media-type', detail, { headers: { 'accept-post': 'application/json' } });
}

/**
 * Reads the body. It never keeps more than the limit.
 *
 * @throws HttpProblem 413 for a longer body; 400 if the client disconnects before the end; 415 if the body is compressed
 */
export async function readBody(request: Request, maxBytes: number): Promise<Uint8Array> {
  if ((request.headers.get('content-encoding') ?? 'identity').toLowerCase() !== 'identity') {
    const detail = 'the body must not be compressed';
    throw problem('unsupported-media-type', detail, { headers: { 'accept-encoding': 'identity' } });
  }
  if (Number(request.headers.get('content-length')) > maxBytes) throw tooLarge(maxBytes);
  if (request.bodyUsed || request.body?.locked) {
    throw new ConfigurationError(
      'the body of the request was read before it came here, for example by a body parser; pass an unread request',
    );
  }
  return request.body ? readStream(request.body, maxBytes) : new Uint8Array();
}

async function readStream(body: ReadableStream<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  for (let size = 0; ;) {
    const { done, value } = await reader.read().catch(incomplete);
    if (done) return Buffer.concat(chunks);
    size += value.byteLength;
    if (size > maxBytes) {
      discard(reader).catch(() => {});
      throw tooLarge(maxBytes);
    }
    chunks.push(value);
  }
}

/** How much of a body that is too long is read, in bytes, before the stream is canceled. */
const DISCARD_LIMIT = 67_108_864;

/** Reads on, because a client that is still sending would get a connection reset, now or with its next request. */
async function discard(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  for (let size = 0; size < DISCARD_LIMIT;) {
    const { done, value } = await reader.read();
    if (done) return;
    size += value.byteLength;
  }
  await reader.cancel();
}

function incomplete(error: unknown): never {
  if (error instanceof ConfigurationError) throw error;
  throw problem('incomplete', 'the connection was closed before the end of the body');
}

const tooLarge = (maxBytes: number) => problem('too-large', `the body must not exceed ${maxBytes} bytes`);

/** @throws HttpProblem 400 for anything but JSON in UTF-8 */
export function parseJson(bytes: Uint8Array): Json {
  return read(bytes).value;
}

/**
 * Parses a body whose numbers must not change, as those of every other way to send.
 *
 * @throws HttpProblem 400 for anything but JSON in UTF-8; InvalidMessageError for a number that JavaScript cannot represent
 */
export function parseExactJson(bytes: Uint8Array): Json {
  const { text, value } = read(bytes);
  const inexact = findInexactNumber(text);
  if (inexact !== null) throw new InvalidMessageError('payload', inexact);
  return value;
}

function read(bytes: Uint8Array): { text: string; value: Json } {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return { text, value: JSON.parse(text) as Json };
  } catch {
    throw problem('invalid-json', 'the body is not valid JSON in UTF-8');
  }
}
