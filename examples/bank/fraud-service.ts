/**
 * The fraud check of an external company: a real HTTP server that approves every transfer but is sometimes overloaded.
 *
 * It rejects the first request for some transfers. The choice depends only on the transfer's id, so two runs with the
 * same data reject the same transfers.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { z } from 'zod';

/** The service is overloaded at the first request for about one in this many transfers. */
const REJECTED_ONE_IN = 12;
const RETRY_AFTER_SECONDS = 1;
const MAX_BODY_BYTES = 10_000;

const questionSchema = z.object({ transferId: z.string() });

export interface FraudService {
  /** The value for FRAUD_CHECK_URL. */
  url: string;
  /** Returns how many transfers have been rejected so far. */
  rejectedCount(): number;
  stop(): Promise<void>;
}

/** Listens on loopback only, on a free port. */
export async function startFraudService(): Promise<FraudService> {
  const rejected = new Set<string>();
  const server = createServer((request, response) => {
    answer(request, response, rejected).catch((error: unknown) => {
      response.destroy(error instanceof Error ? error : new Error(String(error)));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the fraud service has no TCP port');
  return {
    url: `http://127.0.0.1:${address.port}/checks`,
    rejectedCount: () => rejected.size,
    async stop() {
      server.close();
      // Clients keep idle connections open, and close() alone would wait for them.
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  rejected: Set<string>,
): Promise<void> {
  if (request.method !== 'POST' || request.url !== '/checks') {
    return reply(response, 404, { error: 'use POST /checks' });
  }
  const question = questionSchema.safeParse(await readJson(request));
  if (!question.success) return reply(response, 400, { error: 'transferId is missing' });
  const { transferId } = question.data;
  if (isRejectedFirst(transferId) && !rejected.has(transferId)) {
    rejected.add(transferId);
    response.setHeader('retry-after', String(RETRY_AFTER_SECONDS));
    return reply(response, 503, { error: 'overloaded' });
  }
  return reply(response, 200, { decision: 'approve' });
}

/** Returns true if the service rejects the first request for this transfer. */
export function isRejectedFirst(transferId: string): boolean {
  return createHash('sha256').update(transferId).digest().readUInt32BE(0) % REJECTED_ONE_IN === 0;
}

/** Returns undefined if the body is too long or is not JSON. */
async function readJson(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += String(chunk);
    if (text.length > MAX_BODY_BYTES) return undefined;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
