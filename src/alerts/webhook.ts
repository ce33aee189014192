/**
 * Posts alerts as Standard Webhooks: https://www.standardwebhooks.com.
 *
 * @module
 */
import { Webhook } from 'standardwebhooks';
import { AlertRefusedError } from '../core/alert.ts';
import type { DeadLetterAlert, Deliver } from '../core/alert.ts';
import type { WebhookSettings } from './webhook-settings.ts';

/** From the first look-up of the name to the status of the answer. */
const TIMEOUT_MS = 10_000;
const GONE = 410;

/** Of what is posted: its `type`, by which receivers tell events apart. */
export const ALERT_EVENT_TYPE = 'inbox.dead_letter';

/** @throws AlertRefusedError for everything but a 2xx in time */
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
      // Signed with each, so that a receiver may know the old secret or the new one.
      'webhook-signature': signers.map((signer) => signer.sign(alert.alertId, now, body)).join(' '),
      ...authorization,
    });
    if (status !== null) throw refused(status);
  };
}

/** The same text at every try, so that only the time and the signature differ. */
function bodyOf({ createdAt, ...data }: DeadLetterAlert): string {
  return JSON.stringify({ type: ALERT_EVENT_TYPE, timestamp: createdAt, data });
}

/** fetch refuses a URL with a password in it, and would say the whole of it in its error. */
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

/** Null: it was taken. */
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
      // A redirect could lead anywhere, also into the network of the worker.
      redirect: 'manual',
      signal: AbortSignal.any([signal, timeout]),
    });
    // Whatever the answer holds, it is not read: neither its size nor its slowness is our problem.
    await response.body?.cancel().catch(() => {});
    return response.ok ? null : { status: response.status, retryAfter: response.headers.get('retry-after') };
  } catch (error) {
    if (timeout.aborted) throw new AlertRefusedError(`no answer within ${TIMEOUT_MS / 1_000} s`);
    if (signal.aborted) throw new AlertRefusedError('cut short by the end of this worker, or of this try');
    throw new AlertRefusedError(`could not be reached: ${codeOf(error)}`);
  }
}

/** `ECONNREFUSED`, `ENOTFOUND`, `CERT_HAS_EXPIRED` …; the message might repeat the URL. */
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
      `${problem}; redirects are not followed: set INBOX_ALERT_URL to where it leads`,
    );
  }
  return new AlertRefusedError(problem, delayOf(retryAfter), status === GONE);
}

/** Seconds or a date, as HTTP has it; null where it says neither. */
function delayOf(retryAfter: string | null): number | null {
  if (retryAfter === null) return null;
  const delayMs = /^\d+$/.test(retryAfter) ? Number(retryAfter) * 1_000 : Date.parse(retryAfter) - Date.now();
  return Number.isFinite(delayMs) && delayMs > 0 ? delayMs : null;
}
