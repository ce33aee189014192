/**
 * HTTP endpoints for commands and webhooks. Each is a function that takes a web-standard `Request` and returns a
 * `Promise<Response>`, for any framework.
 *
 * @module temporal-inbox/http
 */
export type { HttpHandler } from './answer.ts';
export { commandEndpoint } from './command-endpoint.ts';
export type { CommandEndpointOptions, MessageContents } from './command-options.ts';
export type { EndpointInbox } from './endpoint-inbox.ts';
export { githubWebhook } from './github-webhook.ts';
export { toNodeListener } from './node-listener.ts';
export type { NodeListenerOptions } from './node-listener.ts';
export { HttpProblem } from './problem.ts';
export type { ProblemExtras, ProblemType } from './problem.ts';
export { standardWebhooks } from './standard-webhooks.ts';
export { errorTypeOf, statusBody } from './status-body.ts';
export { stripeWebhook } from './stripe-webhook.ts';
export { webhookEndpoint } from './webhook-endpoint.ts';
export type {
  WebhookEndpointOptions,
  WebhookEvent,
  WebhookMessage,
  WebhookMessages,
} from './webhook-endpoint.ts';
export { WebhookVerificationError } from './webhook-verifier.ts';
export type {
  TimestampOptions,
  WebhookSecrets,
  WebhookVerification,
  WebhookVerifier,
} from './webhook-verifier.ts';
