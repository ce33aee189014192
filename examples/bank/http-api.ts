/**
 * An HTTP API whose clients can safely repeat a request: POST /transfers with an Idempotency-Key, and GET /transfers/<key>.
 *
 * The API only accepts a transfer; a worker executes it. The answer is therefore 202, with a Location header for the
 * status. Authentication is out of scope. With more than one client, make the client's id part of the message_id.
 * Otherwise one client could read another client's transfers or use up its keys.
 *
 * @module
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Pool } from 'pg';
import { IdempotencyConflictError, InvalidMessageError } from 'temporal-inbox';
import type { CommandLog, Entry, Inbox, JsonObject } from 'temporal-inbox';
import { keyOfPath, parseKey, pathOf } from './idempotency-key.ts';
import { Problem, reply, replyProblem } from './problem.ts';
import { readTransfer } from './request-body.ts';
import { BankUnavailableError, findTransfer, KeyUsedUpError, requestTransfer } from './transfer-requests.ts';

export interface HttpApiOptions {
  pool: Pool;
  inbox: Inbox;
  log: CommandLog;
}

/** Long enough for a failover to complete, short enough that a client keeps waiting. */
const RETRY_AFTER_SECONDS = 2;

export function createHttpApi(options: HttpApiOptions): RequestListener {
  return (request, response) => {
    route(options, request, response).catch((error: unknown) => {
      const problem = problemOf(error);
      // The log prints the error's class and code but not its message, because a message may repeat what the client sent.
      if (problem.status >= 500)
        options.log.error(`answered ${problem.status}`, { error, cause: causeOf(error) });
      replyProblem(response, problem);
    });
  };
}

async function route(
  options: HttpApiOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '').replace(/\?.*$/s, '');
  if (path === '/transfers') {
    requireMethod(request, 'POST');
    return postTransfer(options, request, response);
  }
  const key = keyOfPath(path);
  if (key === null) throw notFound(`${path} does not exist; use POST /transfers to request a transfer`);
  requireMethod(request, 'GET', 'HEAD');
  return getTransfer(options, key, response);
}

function requireMethod(request: IncomingMessage, ...methods: string[]): void {
  if (methods.includes(request.method ?? '')) return;
  const allowed = methods.join(', ');
  throw new Problem(405, 'method-not-allowed', `allowed methods: ${allowed}`, {
    headers: { allow: allowed },
  });
}

async function postTransfer(
  { pool, inbox }: HttpApiOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const key = parseKey(request.headersDistinct['idempotency-key']?.join(', '));
  const transfer = await readTransfer(request);
  const { answer, entry } = await requestTransfer(pool, inbox, key, transfer);
  reply(response, 202, describe(key, entry), {
    location: pathOf(key),
    ...(answer === 'duplicate' && { 'idempotency-replayed': 'true' }),
  });
}

async function getTransfer({ inbox }: HttpApiOptions, key: string, response: ServerResponse): Promise<void> {
  const entry = await findTransfer(inbox, key);
  if (!entry) throw notFound('no transfer was requested with this key');
  reply(response, 200, describe(key, entry));
}

function notFound(detail: string): Problem {
  return new Problem(404, 'not-found', detail);
}

/** Describes a failure only by its type, because its message may reveal another customer's balance. */
function describe(key: string, entry: Entry): JsonObject {
  return {
    key,
    status: entry.status,
    transfer: entry.payload,
    requestedAt: entry.receivedAt.toISOString(),
    ...(entry.processedAt && { completedAt: entry.processedAt.toISOString(), result: entry.result }),
    ...(entry.error !== null && { failure: { type: typeOf(entry.error) } }),
    ...(entry.nextRetryAt && { nextRetryAt: entry.nextRetryAt.toISOString() }),
  };
}

function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof IdempotencyConflictError) {
    return new Problem(
      422,
      'idempotency-key-reused',
      'this Idempotency-Key was used for a different transfer, which is unchanged; use a new key for a new transfer',
    );
  }
  if (error instanceof KeyUsedUpError) {
    return new Problem(
      422,
      'idempotency-key-used-up',
      'this Idempotency-Key was used long ago, and the status of its transfer is no longer stored; use a new key for a new transfer',
    );
  }
  if (error instanceof InvalidMessageError) {
    return new Problem(400, 'invalid-transfer', error.message, {
      members: { errors: [{ field: error.field.replace(/^payload\./, ''), problem: error.problem }] },
    });
  }
  const headers = { 'retry-after': String(RETRY_AFTER_SECONDS) };
  if (error instanceof BankUnavailableError) {
    const detail =
      'the bank does not know whether it accepted this request; send it again with the same Idempotency-Key';
    return new Problem(503, 'unavailable', detail, { headers });
  }
  return new Problem(
    500,
    'internal',
    'internal error, logged by the bank; you can send the request again with the same key',
  );
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

/** `entry.error` is `Type: message`. */
const typeOf = (error: string) => error.split(': ', 1)[0]!;
