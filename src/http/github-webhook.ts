/**
 * Webhooks of GitHub.
 *
 * Source: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
 *
 * @module
 */
import { checkSignatures, readSecrets, requireHeader, WebhookVerificationError } from './webhook-verifier.ts';
import type { WebhookSecrets, WebhookVerifier } from './webhook-verifier.ts';

const PREFIX = 'sha256=';

/**
 * Verifies GitHub's webhooks. The delivery id is `X-GitHub-Delivery`, which stays the same when a delivery is repeated.
 *
 * GitHub signs only the body: neither the time nor the delivery id. Someone who has obtained a delivery can send it again
 * under another id. If that would do harm, derive the message_id from the body.
 *
 * @throws ConfigurationError for an invalid secret
 */
export function githubWebhook(secret: WebhookSecrets): WebhookVerifier {
  const keys = readSecrets('githubWebhook', secret);
  return (body, headers) => {
    const signature = requireHeader(headers, 'x-hub-signature-256');
    const deliveryId = requireHeader(headers, 'x-github-delivery');
    if (!signature.startsWith(PREFIX)) throw new WebhookVerificationError('the signature is wrong');
    const signatures = [signature.slice(PREFIX.length)];
    checkSignatures({ keys, parts: [body], encoding: 'hex', signatures });
    return { deliveryId };
  };
}
