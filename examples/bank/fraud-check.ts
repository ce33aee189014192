/**
 * Calls the fraud check for a transfer, over HTTP.
 *
 * A handler may run more than once; only its database effects happen exactly once. The request therefore carries the
 * transfer's id, so that the fraud check can recognize a repeated request.
 *
 * @module
 */
import { z } from 'zod';
import { RetryAfterError } from 'temporal-inbox';
import type { CommandLog } from 'temporal-inbox';
import { FraudCheckUnavailable, TransferDeclined } from './errors.ts';

export interface FraudQuestion {
  transferId: string;
  from: string;
  to: string;
  amountCents: number;
}

/** Well below the attempt's timeout of 10 s: a service that hangs fails with its own error, and a slow answer leaves time. */
const TIMEOUT_MS = 3_000;

const answerSchema = z.object({ decision: z.enum(['approve', 'decline']) });

/**
 * Returns if the transfer is approved. Throws {@link TransferDeclined} if it is declined, and a transient error if there
 * is no usable answer. Without the environment variable FRAUD_CHECK_URL, every transfer is approved.
 */
export async function checkForFraud(
  question: FraudQuestion,
  context: { signal: AbortSignal; log: CommandLog },
): Promise<void> {
  const url = process.env['FRAUD_CHECK_URL'];
  if (!url) {
    context.log.debug('FRAUD_CHECK_URL is not set: the transfer is not checked for fraud');
    return;
  }
  const response = await requestCheck(url, question, context.signal);
  if (!response.ok) throw await unavailable(response);
  const { decision } = await readAnswer(response);
  if (decision === 'decline') throw new TransferDeclined(question.transferId);
}

async function requestCheck(url: string, question: FraudQuestion, signal: AbortSignal): Promise<Response> {
  try {
    return await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(question),
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
  } catch (error) {
    signal.throwIfAborted();
    throw new FraudCheckUnavailable('the fraud check could not be reached', { cause: error });
  }
}

async function unavailable(response: Response): Promise<Error> {
  // A connection with an unread response body cannot be reused.
  await response.body?.cancel();
  const message = `the fraud check answered ${response.status}`;
  const delayMs = parseRetryAfter(response.headers.get('retry-after'), Date.now());
  return delayMs === null ? new FraudCheckUnavailable(message) : new RetryAfterError(delayMs, message);
}

async function readAnswer(response: Response): Promise<z.output<typeof answerSchema>> {
  try {
    return answerSchema.parse(await response.json());
  } catch (error) {
    throw new FraudCheckUnavailable('the fraud check gave an invalid answer', { cause: error });
  }
}

/**
 * Returns the delay in milliseconds, or null if the header is missing or invalid. The header contains seconds or a date.
 *
 * Source: RFC 9110, section 10.2.3.
 */
export function parseRetryAfter(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  if (/^\d{1,6}$/.test(header)) return Number(header) * 1_000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs);
}
