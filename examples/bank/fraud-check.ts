/**
 * Asks the fraud check about a transfer, over HTTP.
 *
 * The question carries the transfer's id, so that being asked again after a retry costs the other side nothing: a
 * handler may run more than once, only its database effects happen once.
 *
 * @module
 */
import { z } from 'zod';
import type { CommandLog } from '../../src/core/command-log.ts';
import { RetryAfterError } from '../../src/core/errors.ts';
import { FraudCheckUnavailable, TransferDeclined } from './errors.ts';

export interface FraudQuestion {
  transferId: string;
  from: string;
  to: string;
  amountCents: number;
}

/** Well below the attempt's own 10 s: a service that hangs must not hold the attempt's connection that long. */
const TIMEOUT_MS = 3_000;

const answerSchema = z.object({ decision: z.enum(['approve', 'decline']) });

/**
 * Returns when the transfer may go on. Throws {@link TransferDeclined} when it may not, and a transient error when
 * there is no answer. Without the environment variable FRAUD_CHECK_URL every transfer may go on.
 */
export async function checkForFraud(
  question: FraudQuestion,
  context: { signal: AbortSignal; log: CommandLog },
): Promise<void> {
  const url = process.env['FRAUD_CHECK_URL'];
  if (!url) {
    context.log.debug('FRAUD_CHECK_URL is not set: transfer goes on unchecked');
    return;
  }
  const response = await ask(url, question, context.signal);
  if (!response.ok) throw await unavailable(response);
  const { decision } = await readAnswer(response);
  if (decision === 'decline') throw new TransferDeclined(question.transferId);
}

async function ask(url: string, question: FraudQuestion, signal: AbortSignal): Promise<Response> {
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
  // An unread body keeps its connection from being used again.
  await response.body?.cancel();
  const message = `the fraud check answered ${response.status}`;
  const delayMs = parseRetryAfter(response.headers.get('retry-after'), Date.now());
  return delayMs === null ? new FraudCheckUnavailable(message) : new RetryAfterError(delayMs, message);
}

async function readAnswer(response: Response): Promise<z.output<typeof answerSchema>> {
  try {
    return answerSchema.parse(await response.json());
  } catch (error) {
    throw new FraudCheckUnavailable('the fraud check gave an answer that is not one', { cause: error });
  }
}

/**
 * Milliseconds to wait: the header holds seconds or a date. Null without it, or when it is neither.
 *
 * Source: RFC 9110, section 10.2.3.
 */
export function parseRetryAfter(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  if (/^\d{1,6}$/.test(header)) return Number(header) * 1_000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs);
}
