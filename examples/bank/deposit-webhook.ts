/**
 * Deposits that a payment provider announces by webhook: each settled payment becomes a `DepositFunds` command.
 *
 * @module
 */
import { z } from 'zod';
import { message } from 'temporal-inbox';
import type { CommandLog, Inbox } from 'temporal-inbox';
import { standardWebhooks, webhookEndpoint } from 'temporal-inbox/http';
import type { HttpHandler, WebhookSecrets } from 'temporal-inbox/http';
import { depositFunds } from './deposit-funds.ts';
import { accountId, amountCents } from './payload.ts';

export const DEPOSITS_PATH = '/webhooks/payments';

export interface DepositWebhookOptions {
  inbox: Inbox;
  log: CommandLog;
  /** The provider's signing secrets: the new and the old one while a secret is replaced. */
  secrets: WebhookSecrets;
}

const event = z.object({ type: z.string() });
const settledPayment = z.object({
  data: z.object({ paymentId: z.string().min(1).max(100), accountId, amountCents }),
});

/** Expects Standard Webhooks. Events of other types than `payment.settled` are ignored. */
export function depositWebhook({ inbox, log, secrets }: DepositWebhookOptions): HttpHandler {
  return webhookEndpoint({
    inbox,
    log,
    verify: standardWebhooks(secrets),
    toMessage({ body }) {
      if (event.parse(body).type !== 'payment.settled') return null;
      const { paymentId, ...payload } = settledPayment.parse(body).data;
      // Not the id of the event: a payment is deposited once, even if the provider announces it in two events.
      return message(depositFunds, { messageId: `payment-${paymentId}`, payload });
    },
  });
}
