/**
 * Reads and validates the body of a request.
 *
 * @module
 */
import type { IncomingMessage } from 'node:http';
import { Problem } from './problem.ts';
import type { Transfer } from './transfer-requests.ts';
import { transferFunds } from './transfer-funds.ts';

export const MAX_BODY_BYTES = 10_000;

/**
 * The command's own schema rejects bodies that would only become dead letters. It is strict, so that a client that sends an
 * unsupported member, such as `currency`, gets an error instead of being ignored.
 */
const body = transferFunds.schema.strict();

/** @throws Problem 413, 415 or 400 */
export async function readTransfer(request: IncomingMessage): Promise<Transfer> {
  checkContentType(request);
  const parsed = body.safeParse(parseJson(await readBytes(request)));
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map(({ path, message }) => ({
    field: path.join('.') || 'body',
    problem: message,
  }));
  const fields = errors.map(({ field, problem }) => `${field}: ${problem}`).join('; ');
  throw new Problem(400, 'invalid-transfer', fields, { members: { errors } });
}

function checkContentType({ headers }: IncomingMessage): void {
  const plain = (headers['content-encoding'] ?? 'identity') === 'identity';
  const json = /^application\/json *(?:; *charset="?utf-8"? *)?$/i.test(headers['content-type'] ?? '');
  if (json && plain) return;
  throw new Problem(
    415,
    'unsupported-media-type',
    'the body must be application/json in UTF-8, without Content-Encoding',
    {
      headers: { 'accept-post': 'application/json' },
    },
  );
}

/**
 * Keeps reading a body that is too long and discards it, until the server's request timeout. Otherwise a client that is
 * still sending would get a connection reset instead of the response.
 */
function readBytes(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_BODY_BYTES) chunks.push(chunk);
      else reject(new Problem(413, 'too-large', `the body must not exceed ${MAX_BODY_BYTES} bytes`));
    });
    request.on('end', () => resolve(Buffer.concat(chunks)));
    request.on('error', () => reject(new Problem(400, 'incomplete', 'the body is incomplete')));
  });
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new Problem(400, 'invalid-json', 'the body is not valid JSON in UTF-8');
  }
}
