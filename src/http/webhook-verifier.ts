/**
 * Verifiers of webhook signatures: their type, and what the schemes have in common.
 *
 * @module
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { ConfigurationError, InboxError } from '../core/errors.ts';
import { checkOptions, optional, wholeNumber } from './check-options.ts';

/**
 * Verifies the signature of a webhook over the bytes of its body. Returns what it has verified, and throws a
 * {@link WebhookVerificationError} to refuse the webhook.
 *
 * @example
 * const verify: WebhookVerifier = (body, headers) => {
 *   const expected = createHmac('sha512', secret).update(body).digest();
 *   const given = Buffer.from(headers.get('x-signature') ?? '', 'hex');
 *   if (given.length !== expected.length || !timingSafeEqual(given, expected))
 *     throw new WebhookVerificationError('the signature is wrong');
 *   return { deliveryId: headers.get('x-event-id') ?? '' };
 * };
 */
export type WebhookVerifier = (
  body: Uint8Array,
  headers: Headers,
) => WebhookVerification | Promise<WebhookVerification>;

export interface WebhookVerification {
  /** Identifies the event, and is the same when the provider delivers it again. */
  deliveryId: string;
}

/** The signature of a webhook is missing, wrong or expired. Nothing was stored. */
export class WebhookVerificationError extends InboxError {
  override readonly name = 'WebhookVerificationError';

  constructor(
    /** The sender sees this, and it is logged. It must not contain the secret or the right signature. */
    readonly reason: string,
  ) {
    super(reason);
  }
}

/** One secret, or several while you replace one: a signature made with any of them is accepted. */
export type WebhookSecrets = string | readonly string[];

export interface TimestampOptions {
  /** How far the signed time may be from this server's clock, in ms, in either direction. Default 5 minutes, at most a day. */
  maxAgeMs?: number;
}

const DEFAULT_MAX_AGE_MS = 300_000;
const DAY_MS = 86_400_000;

/** @throws ConfigurationError if there is no secret, or one has white space around it. It does not show the secret */
export function readSecrets(scheme: string, secrets: WebhookSecrets): string[] {
  const list: readonly unknown[] = Array.isArray(secrets) ? secrets : [secrets];
  if (list.length === 0) throw new ConfigurationError(`${scheme}: secret must be text, or a list of texts`);
  return list.map((secret) => {
    if (typeof secret !== 'string')
      throw new ConfigurationError(`${scheme}: secret must be text, or a list of texts`);
    if (secret === '') throw new ConfigurationError(`${scheme}: secret is empty`);
    if (secret !== secret.trim())
      throw new ConfigurationError(`${scheme}: secret begins or ends with white space`);
    return secret;
  });
}

/** @throws ConfigurationError naming the invalid option */
export function readMaxAge(scheme: string, options: TimestampOptions): number {
  checkOptions(scheme, options, { maxAgeMs: optional(wholeNumber(1, DAY_MS, 'milliseconds')) });
  return options.maxAgeMs ?? DEFAULT_MAX_AGE_MS;
}

/** @throws WebhookVerificationError if the header is missing */
export function requireHeader(headers: Headers, name: string): string {
  const value = headers.get(name);
  if (value === null || value === '') throw new WebhookVerificationError(`the header ${name} is missing`);
  return value;
}

/**
 * @param timestamp - in seconds since 1970
 * @throws WebhookVerificationError if it is too far from now, or not a timestamp
 */
export function checkTimestamp(timestamp: string, maxAgeMs: number): void {
  if (!/^\d{1,12}$/.test(timestamp)) throw new WebhookVerificationError('the timestamp is invalid');
  const ageMs = Date.now() - Number(timestamp) * 1_000;
  if (ageMs > maxAgeMs) throw new WebhookVerificationError('the timestamp is too old');
  if (ageMs < -maxAgeMs) throw new WebhookVerificationError('the timestamp is in the future');
}

export interface SignedContent {
  keys: readonly (string | Buffer)[];
  /** What was signed: text and bytes, one after another. */
  parts: readonly (string | Uint8Array)[];
  encoding: 'hex' | 'base64';
  /** The signatures that the sender gave. */
  signatures: readonly string[];
}

/** @throws WebhookVerificationError if no signature is the HMAC-SHA256 of the content with one of the keys */
export function checkSignatures({ keys, parts, encoding, signatures }: SignedContent): void {
  for (const key of keys) {
    const hmac = createHmac('sha256', key);
    for (const part of parts) hmac.update(part);
    const expected = Buffer.from(hmac.digest(encoding));
    if (signatures.some((signature) => isEqual(Buffer.from(signature), expected))) return;
  }
  throw new WebhookVerificationError('the signature is wrong');
}

/** Takes the same time no matter where the texts differ, so that nobody can guess a signature byte by byte. */
function isEqual(given: Buffer, expected: Buffer): boolean {
  return given.length === expected.length && timingSafeEqual(given, expected);
}
