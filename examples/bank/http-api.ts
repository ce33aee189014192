/**
 * The bank's HTTP API: transfers that clients request, and deposits that a payment provider announces.
 *
 * The API only accepts commands; a worker executes them. Authentication of clients is out of scope. With more than one
 * client, make the client's id part of the message_id. Otherwise one client could read another client's transfers or use up
 * its keys.
 *
 * @module
 */
import type { HttpHandler, WebhookSecrets } from 'temporal-inbox/http';
import { DEPOSITS_PATH, depositWebhook } from './deposit-webhook.ts';
import { transferEndpoint } from './transfer-requests.ts';
import type { TransferEndpointOptions } from './transfer-requests.ts';

export interface HttpApiOptions extends TransferEndpointOptions {
  /** Secrets of the payment provider. Without them, the API has no webhook. */
  paymentSecrets?: WebhookSecrets | undefined;
}

/** @throws ConfigurationError for an invalid secret */
export function createHttpApi({ paymentSecrets, ...options }: HttpApiOptions): HttpHandler {
  const transfers = transferEndpoint(options);
  if (paymentSecrets === undefined) return transfers;
  const deposits = depositWebhook({ ...options, secrets: paymentSecrets });
  return (request) =>
    new URL(request.url).pathname === DEPOSITS_PATH ? deposits(request) : transfers(request);
}
