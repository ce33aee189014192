/**
 * The other company's fraud check: a real HTTP server that approves every transfer, but is overloaded now and then.
 *
 * Which transfers it turns away first depends on nothing but their ids, so that two runs over the same data tell the
 * same story.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { z } from 'zod';

/** About one transfer in so many finds the service overloaded at its first try. */
const TURNED_AWAY_ONE_IN = 12;
const RETRY_AFTER_SECONDS = 1;
const MAX_BODY_BYTES = 10_000;

const questionSchema = z.object({ transferId: z.string() });

export interface FraudService {
  /** For FRAUD_CHECK_URL. */
  url: string;
  /** How many transfers were turned away so far. */
  turnedAway(): number;
  stop(): Promise<void>;
}

/** Listens on loopback only, on a free port. */
export async function startFraudService(): Promise<FraudService> {
  const turnedAway = new Set<string>();
  const server = createServer((request, response) => {
    answer(request, response, turnedAway).catch((error: unknown) => {
      response.destroy(error instanceof Error ? error : new Error(String(error)));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the fraud service has no TCP port');
  return {
    url: `http://127.0.0.1:${address.port}/checks`,
    turnedAway: () => turnedAway.size,
    async stop() {
      server.close();
      // Clients keep connections open for the next request; close() alone would wait for them.
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  turnedAway: Set<string>,
): Promise<void> {
  if (request.method !== 'POST' || request.url !== '/checks') {
    return reply(response, 404, { error: 'ask with POST /checks' });
  }
  const question = questionSchema.safeParse(await readJson(request));
  if (!question.success) return reply(response, 400, { error: 'transferId is missing' });
  const { transferId } = question.data;
  if (isTurnedAwayFirst(transferId) && !turnedAway.has(transferId)) {
    turnedAway.add(transferId);
    response.setHeader('retry-after', String(RETRY_AFTER_SECONDS));
    return reply(response, 503, { error: 'overloaded' });
  }
  return reply(response, 200, { decision: 'approve' });
}

/** Whether the service is overloaded when it is asked about this transfer for the first time. */
export function isTurnedAwayFirst(transferId: string): boolean {
  return createHash('sha256').update(transferId).digest().readUInt32BE(0) % TURNED_AWAY_ONE_IN === 0;
}

/** Undefined when the body is too long or not JSON. */
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
