/**
 * Webhooks of Stripe.
 *
 * Source: https://docs.stripe.com/webhooks/signature
 *
 * @module
 */
import { InvalidMessageError } from '../core/errors.ts';
import { parseJson } from './request-body.ts';
import {
  checkSignatures,
  checkTimestamp,
  readMaxAge,
  readSecrets,
  requireHeader,
} from './webhook-verifier.ts';
import type { TimestampOptions, WebhookSecrets, WebhookVerifier } from './webhook-verifier.ts';

/**
 * Verifies Stripe's webhooks. The delivery id is the event's `id` in the body, such as `evt_1Nx…`.
 *
 * @param secret - the endpoint's signing secret, with its `whsec_`
 * @throws ConfigurationError for an invalid secret or option
 */
export function stripeWebhook(secret: WebhookSecrets, options: TimestampOptions = {}): WebhookVerifier {
  const keys = readSecrets('stripeWebhook', secret);
  const maxAgeMs = readMaxAge('stripeWebhook', options);
  return (body, headers) => {
    const elements = requireHeader(headers, 'stripe-signature').split(',');
    const [timestamp = ''] = valuesOf(elements, 't');
    checkTimestamp(timestamp, maxAgeMs);
    // Stripe signs with the old and the new secret while one is replaced. Other schemes, such as v0, are for tests.
    const signatures = valuesOf(elements, 'v1');
    checkSignatures({ keys, parts: [`${timestamp}.`, body], encoding: 'hex', signatures });
    return { deliveryId: eventIdOf(body) };
  };
}

function valuesOf(elements: readonly string[], name: string): string[] {
  return elements
    .map((element) => element.trim())
    .filter((element) => element.startsWith(`${name}=`))
    .map((element) => element.slice(name.length + 1));
}

/** @throws HttpProblem 400 for a body that is not JSON; InvalidMessageError if it has no id */
function eventIdOf(body: Uint8Array): string {
  const { id } = (parseJson(body) ?? {}) as { id?: unknown };
  if (typeof id === 'string' && id !== '') return id;
  throw new InvalidMessageError('id', 'must be the id of a Stripe event');
}
