/**
 * The channels over which this worker delivers alerts.
 *
 * @module
 */
import { AlertRefusedError } from '../core/alert.ts';
import type { AlertChannel, AlertDeliveries, DeadLetterHook, Deliver } from '../core/alert.ts';
import { createWebhook } from './webhook.ts';
import { withTimeout } from '../platform/deadline.ts';
import type { WebhookSettings } from './webhook-settings.ts';

const HOOK_TIMEOUT_MS = 30_000;

/** Empty if neither a hook nor a webhook is configured. */
export function createDeliveries(
  hook: DeadLetterHook | undefined,
  webhook: WebhookSettings | null,
): AlertDeliveries {
  const deliveries = new Map<AlertChannel, Deliver>();
  if (hook) deliveries.set('hook', callHook(hook));
  if (webhook) deliveries.set('webhook', createWebhook(webhook));
  return deliveries;
}

function callHook(hook: DeadLetterHook): Deliver {
  return (alert, signal) =>
    withTimeout(
      HOOK_TIMEOUT_MS,
      (timeout) => hook(alert, { signal: AbortSignal.any([signal, timeout]) }),
      () => {
        throw new AlertRefusedError(`did not return within ${HOOK_TIMEOUT_MS / 1_000} s`);
      },
    );
}
