/**
 * Standard Webhooks, as sent by many providers and by the alerts of this package.
 *
 * This does not use the library `standardwebhooks`, which turns the body into text before it verifies the signature, and has a
 * fixed tolerance for the time.
 *
 * Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 *
 * @module
 */
import { ConfigurationError } from '../core/errors.ts';
import {
  checkSignatures,
  checkTimestamp,
  readMaxAge,
  readSecrets,
  requireHeader,
} from './webhook-verifier.ts';
import type { TimestampOptions, WebhookSecrets, WebhookVerifier } from './webhook-verifier.ts';

const PREFIX = 'whsec_';
/** The shortest key that the specification allows, in bytes. */
const MIN_KEY = 24;

/**
 * Verifies Standard Webhooks with symmetric signatures (`v1`). The delivery id is `webhook-id`, which is signed.
 *
 * @param secret - `whsec_` and the base64 of at least 24 bytes
 * @throws ConfigurationError for an invalid secret or option
 */
export function standardWebhooks(secret: WebhookSecrets, options: TimestampOptions = {}): WebhookVerifier {
  const keys = readSecrets('standardWebhooks', secret).map(keyOf);
  const maxAgeMs = readMaxAge('standardWebhooks', options);
  return (body, headers) => {
    const deliveryId = requireHeader(headers, 'webhook-id');
    const timestamp = requireHeader(headers, 'webhook-timestamp');
    // The header is a list, because the sender signs with the old and the new secret while it replaces one.
    const signatures = requireHeader(headers, 'webhook-signature')
      .split(' ')
      .filter((each) => each.startsWith('v1,'))
      .map((each) => each.slice('v1,'.length));
    checkTimestamp(timestamp, maxAgeMs);
    checkSignatures({ keys, parts: [`${deliveryId}.${timestamp}.`, body], encoding: 'base64', signatures });
    return { deliveryId };
  };
}

/** @throws ConfigurationError, without the secret */
function keyOf(secret: string): Buffer {
  const text = secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : secret;
  const key = Buffer.from(text, 'base64');
  // Node decodes invalid base64 leniently.
  const isBase64 = key.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '');
  if (isBase64 && key.length >= MIN_KEY) return key;
  throw new ConfigurationError(
    `standardWebhooks: secret must be ${PREFIX} and the base64 of at least ${MIN_KEY} bytes`,
  );
}
