/**
 * The body of a request, checked before anything else sees it.
 *
 * @module
 */
import type { IncomingMessage } from 'node:http';
import { Problem } from './problem.ts';
import type { Transfer } from './transfer-requests.ts';
import { transferFunds } from './transfer-funds.ts';

export const MAX_BODY_BYTES = 10_000;

/**
 * The command's own schema, so that what could only become a dead letter is refused here. Strict: whoever sends a
 * `currency` must not believe that it was heard.
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
 * What is too long is read on and thrown away, until the server's request timeout: whoever still sends would get a
 * reset connection instead of the answer.
 */
function readBytes(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_BODY_BYTES) chunks.push(chunk);
      else reject(new Problem(413, 'too-large', `the body may have ${MAX_BODY_BYTES} bytes`));
    });
    request.on('end', () => resolve(Buffer.concat(chunks)));
    request.on('error', () => reject(new Problem(400, 'incomplete', 'the body ended too early')));
  });
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new Problem(400, 'invalid-json', 'the body is no JSON in UTF-8');
  }
}
