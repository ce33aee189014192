/**
 * Posts alerts as Standard Webhooks: https://www.standardwebhooks.com.
 *
 * @module
 */
import { Webhook } from 'standardwebhooks';
import { AlertRefusedError } from '../core/alert.ts';
import type { DeadLetterAlert, Deliver } from '../core/alert.ts';
import type { WebhookSettings } from './webhook-settings.ts';

/** The time limit from the DNS lookup to the status of the response. */
const TIMEOUT_MS = 10_000;
const GONE = 410;

/** The `type` of the posted event, by which receivers distinguish events. */
export const ALERT_EVENT_TYPE = 'inbox.dead_letter';

/** Returns a function that posts an alert and rejects with AlertRefusedError if no 2xx answer arrives within 10 s. */
export function createWebhook({ url, secrets }: WebhookSettings): Deliver {
  const signers = secrets.map((secret) => new Webhook(secret));
  const { target, authorization } = readTarget(url);
  return async (alert, signal) => {
    const body = bodyOf(alert);
    const now = new Date();
    const status = await post(target, signal, body, {
      'content-type': 'application/json',
      'user-agent': 'temporal-inbox',
      'webhook-id': alert.alertId,
      'webhook-timestamp': String(Math.floor(now.getTime() / 1_000)),
      // Signed with every secret, so that a receiver can verify with either the old or the new one during a rotation.
      'webhook-signature': signers.map((signer) => signer.sign(alert.alertId, now, body)).join(' '),
      ...authorization,
    });
    if (status !== null) throw refused(status);
  };
}

/** The same text in every attempt, so that only the timestamp and the signature differ. */
function bodyOf({ createdAt, ...data }: DeadLetterAlert): string {
  return JSON.stringify({ type: ALERT_EVENT_TYPE, timestamp: createdAt, data });
}

/** Moves the credentials to a header: `fetch` refuses a URL that contains a password and repeats the URL in its error. */
function readTarget(url: string): { target: URL; authorization: Record<string, string> } {
  const target = new URL(url);
  const { username, password } = target;
  target.username = '';
  target.password = '';
  if (username === '' && password === '') return { target, authorization: {} };
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { target, authorization: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` } };
}

interface Refusal {
  status: number;
  retryAfter: string | null;
}

/** @returns null if the receiver accepted the alert */
async function post(
  target: URL,
  signal: AbortSignal,
  body: string,
  headers: Record<string, string>,
): Promise<Refusal | null> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const response = await fetch(target, {
      method: 'POST',
      headers,
      body,
      // A redirect could lead anywhere, including the worker's internal network.
      redirect: 'manual',
      signal: AbortSignal.any([signal, timeout]),
    });
    // The body is not read, so that a large or slow one cannot hurt the worker.
    await response.body?.cancel().catch(() => {});
    return response.ok ? null : { status: response.status, retryAfter: response.headers.get('retry-after') };
  } catch (error) {
    if (timeout.aborted) throw new AlertRefusedError(`did not answer within ${TIMEOUT_MS / 1_000} s`);
    if (signal.aborted)
      throw new AlertRefusedError('was interrupted: the worker is shutting down, or the attempt timed out');
    throw new AlertRefusedError(`could not be reached: ${codeOf(error)}`);
  }
}

/** A code such as `ECONNREFUSED`, `ENOTFOUND` or `CERT_HAS_EXPIRED`. The error's message might repeat the URL. */
function codeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = (cause as { code?: unknown } | null)?.code;
  if (typeof code === 'string') return code;
  return cause instanceof Error ? cause.name : 'not an error';
}

function refused({ status, retryAfter }: Refusal): AlertRefusedError {
  const problem = `answered ${status}`;
  if (status >= 300 && status < 400) {
    return new AlertRefusedError(
      `${problem}; redirects are not followed: set INBOX_ALERT_URL to the final URL`,
    );
  }
  return new AlertRefusedError(problem, delayOf(retryAfter), status === GONE);
}

/** Parses `Retry-After`, which is a number of seconds or a date. Null if it is neither, or not in the future. */
function delayOf(retryAfter: string | null): number | null {
  if (retryAfter === null) return null;
  const delayMs = /^\d+$/.test(retryAfter) ? Number(retryAfter) * 1_000 : Date.parse(retryAfter) - Date.now();
  return Number.isFinite(delayMs) && delayMs > 0 ? delayMs : null;
}
