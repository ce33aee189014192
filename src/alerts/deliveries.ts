/**
 * How alerts leave this worker.
 *
 * @module
 */
import { AlertRefusedError } from '../core/alert.ts';
import type { AlertChannel, AlertDeliveries, DeadLetterHook, Deliver } from '../core/alert.ts';
import { createWebhook } from './webhook.ts';
import type { WebhookSettings } from './webhook-settings.ts';

const HOOK_TIMEOUT_MS = 30_000;

/** Empty where nobody is to be told. */
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
  return async (alert, signal) => {
    const late = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        late.abort();
        reject(new AlertRefusedError(`did not return within ${HOOK_TIMEOUT_MS / 1_000} s`));
      }, HOOK_TIMEOUT_MS);
    });
    try {
      await Promise.race([hook(alert, { signal: AbortSignal.any([signal, late.signal]) }), tooLate]);
    } finally {
      clearTimeout(timer);
    }
  };
}
