/**
 * An HTTP API whose clients may repeat themselves: POST /transfers with an Idempotency-Key, GET /transfers/<key>.
 *
 * It accepts; a worker transfers. So the answer is 202, and says where to look. Who may ask is out of scope: with more
 * than one client, put the client's id into the message_id, or one could use up and read the other's keys.
 *
 * @module
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Pool } from 'pg';
import type { CommandLog } from '../../src/core/command-log.ts';
import { IdempotencyConflictError, InvalidMessageError } from '../../src/core/errors.ts';
import { splitErrorText } from '../../src/attempts/failure-report.ts';
import type { Inbox } from '../../src/sending/inbox.ts';
import type { JsonObject } from '../../src/core/json.ts';
import type { Entry } from '../../src/store/entries.ts';
import { keyOfPath, parseKey, pathOf } from './idempotency-key.ts';
import { Problem, reply, replyProblem } from './problem.ts';
import { readTransfer } from './request-body.ts';
import { BankUnavailableError, findTransfer, KeyUsedUpError, requestTransfer } from './transfer-requests.ts';

export interface HttpApiOptions {
  pool: Pool;
  inbox: Inbox;
  log: CommandLog;
}

/** Long enough for a failover to be over, short enough that nobody gives up. */
const RETRY_AFTER_SECONDS = 2;

export function createHttpApi(options: HttpApiOptions): RequestListener {
  return (request, response) => {
    route(options, request, response).catch((error: unknown) => {
      const problem = problemOf(error);
      // The name alone: a message may repeat what the client sent.
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
    allow(request, 'POST');
    return postTransfer(options, request, response);
  }
  const key = keyOfPath(path);
  if (key === null)
    throw notFound(`there is nothing at ${path}; transfers are asked for with POST /transfers`);
  allow(request, 'GET', 'HEAD');
  return getTransfer(options, key, response);
}

function allow(request: IncomingMessage, ...methods: string[]): void {
  if (methods.includes(request.method ?? '')) return;
  const allowed = methods.join(', ');
  throw new Problem(405, 'method-not-allowed', `only ${allowed} here`, { headers: { allow: allowed } });
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
  if (!entry) throw notFound('no transfer was asked for with this key');
  reply(response, 200, describe(key, entry));
}

function notFound(detail: string): Problem {
  return new Problem(404, 'not-found', detail);
}

/** Of a failure its type only: its message may say what is in another's account. */
function describe(key: string, entry: Entry): JsonObject {
  return {
    key,
    status: entry.status,
    transfer: entry.payload,
    requestedAt: entry.receivedAt.toISOString(),
    ...(entry.processedAt && { completedAt: entry.processedAt.toISOString(), result: entry.result }),
    ...(entry.error !== null && { failure: { type: splitErrorText(entry.error).type } }),
    ...(entry.nextRetryAt && { nextRetryAt: entry.nextRetryAt.toISOString() }),
  };
}

function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof IdempotencyConflictError) {
    return new Problem(
      422,
      'idempotency-key-reused',
      'this Idempotency-Key was used for another transfer, which stands as it is; a new transfer needs a new key',
    );
  }
  if (error instanceof KeyUsedUpError) {
    return new Problem(
      422,
      'idempotency-key-used-up',
      'this Idempotency-Key was used long ago, and what became of it is no longer kept; a new transfer needs a new key',
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
      'the bank cannot tell now whether it took this; send it again with the same Idempotency-Key';
    return new Problem(503, 'unavailable', detail, { headers });
  }
  return new Problem(500, 'internal', 'this is our fault, and was logged; the same key may be sent again');
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}
