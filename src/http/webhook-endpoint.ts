/**
 * An HTTP endpoint that turns the webhooks of a provider into commands.
 *
 * @module
 */
import type { BoundMessage, Message } from '../commands/message.ts';
import { inRequestContext, withRequestContext } from '../telemetry/request-context.ts';
import { DEFAULT_MAX_PAYLOAD_BYTES } from '../commands/message-validation.ts';
import type { CommandLog } from '../core/command-log.ts';
import { ConfigurationError, IdempotencyConflictError, InvalidMessageError } from '../core/errors.ts';
import { chooseLog } from '../platform/pino-log.ts';
import type { PinoLogger } from '../platform/pino-log.ts';
import { RateLimitedWarning } from '../platform/rare-warning.ts';
import { respond } from './answer.ts';
import type { Answer, HttpHandler } from './answer.ts';
import { aFunction, aLog, checkOptions, optional, wholeNumber } from './check-options.ts';
import { anInbox, MAX_BODY_LIMIT } from './command-options.ts';
import type { EndpointInbox } from './endpoint-inbox.ts';
import { documentedType, problem } from './problem.ts';
import type { ProblemType } from './problem.ts';
import { refusingIssues } from './problem-of-error.ts';
import { parseJson, readBody } from './request-body.ts';
import { WebhookVerificationError } from './webhook-verifier.ts';
import type { WebhookVerification, WebhookVerifier } from './webhook-verifier.ts';

/** A webhook whose signature has been verified. */
export interface WebhookEvent {
  /**
   * Identifies the event, and is the same when the provider delivers it again: `webhook-id`, `X-GitHub-Delivery`, or the id
   * of Stripe's event.
   */
  readonly id: string;
  /** The body, parsed as JSON. */
  readonly body: unknown;
}

/** A message that carries its command, or one by name. */
export type WebhookMessage = BoundMessage | Message;

/** What an event becomes: messages that are sent together, all or none; null for an event to ignore. */
export type WebhookMessages = WebhookMessage | readonly WebhookMessage[] | null;

export interface WebhookEndpointOptions {
  inbox: EndpointInbox;
  /** `standardWebhooks(secret)`, `githubWebhook(secret)`, `stripeWebhook(secret)`, or a function of your own. */
  verify: WebhookVerifier;
  /**
   * Turns an event into messages. It must return the same messages when the provider delivers the event again, so leave out
   * the time and the number of the delivery. To refuse an event, throw an HttpProblem, an InvalidMessageError, or the error
   * of a schema.
   *
   * @example
   * toMessage({ id, body }) {
   *   const event = paymentEvent.parse(body);
   *   if (event.type !== 'payment.settled') return null;
   *   return message(depositFunds, { messageId: `payments/${id}`, payload: event.data });
   * }
   */
  toMessage: (event: WebhookEvent, request: Request) => WebhookMessages | Promise<WebhookMessages>;
  /** Size limit of a body, in bytes. Default 1 MiB, at most 32 MiB. */
  maxBodyBytes?: number;
  /** Returns the URI for a problem code. By default it leads to the package's documentation. */
  problemType?: ProblemType;
  log?: CommandLog;
  /** An alternative to `log`: a logger of pino's shape. */
  logger?: PinoLogger;
}

/**
 * Creates a handler for the POSTs of a provider. It answers 200 once the commands are stored, also for a repeat and for an
 * event to ignore. It stores nothing if the signature cannot be verified. docs/http.md has the table of answers.
 *
 * @throws ConfigurationError naming every invalid option
 * @example
 * const payments = webhookEndpoint({ inbox, verify: standardWebhooks(secret), toMessage });
 * const response = await payments(request);
 */
export function webhookEndpoint(options: WebhookEndpointOptions): HttpHandler {
  checkOptions('webhookEndpoint', options, {
    inbox: anInbox,
    verify: aFunction,
    toMessage: aFunction,
    maxBodyBytes: optional(wholeNumber(1, MAX_BODY_LIMIT, 'bytes')),
    problemType: optional(aFunction),
    log: optional(aLog),
    logger: optional(aLog),
  });
  const { problemType = documentedType, maxBodyBytes = DEFAULT_MAX_PAYLOAD_BYTES } = options;
  const log = chooseLog(options);
  const refused = new RateLimitedWarning(log, 'refused webhooks whose signature could not be verified');
  const surroundings = { log, problemType, facts: {} };

  async function receive(request: Request): Promise<Answer> {
    if (request.method !== 'POST') {
      throw problem('method-not-allowed', 'allowed methods: POST', { headers: { allow: 'POST' } });
    }
    const body = await readBody(request, maxBodyBytes);
    const { deliveryId } = await verify(options.verify, body, request.headers).catch((error: unknown) => {
      if (error instanceof WebhookVerificationError) refused.happened({ reason: error.reason });
      throw error;
    });
    const event = { id: deliveryId, body: parseJson(body) };
    try {
      const messages = await refusingIssues(() => options.toMessage(event, request));
      return { status: 200, body: { answer: await send(options.inbox, messages, request.headers, log) } };
    } catch (error) {
      // Some providers never repeat a refused webhook, so this may be its only trace. The fields are named without values.
      if (error instanceof InvalidMessageError) {
        const fields = error.problems.map(({ field }) => field).join(', ');
        log.warn('a verified webhook was refused, because its message is invalid', { deliveryId, fields });
      }
      throw error;
    }
  }

  return (request) =>
    inRequestContext(request.headers, () => respond(request, surroundings, () => receive(request)));
}

/** @throws WebhookVerificationError; ConfigurationError if the verifier returned anything but a verification */
async function verify(
  verifier: WebhookVerifier,
  body: Uint8Array,
  headers: Headers,
): Promise<WebhookVerification> {
  const verified = (await verifier(body, headers)) as Partial<WebhookVerification> | null | undefined;
  // `true` or a missing return must never count as verified.
  if (typeof verified?.deliveryId !== 'string' || verified.deliveryId === '')
    throw new ConfigurationError('verify must return an object with the deliveryId, or throw');
  return { deliveryId: verified.deliveryId };
}

/** Not for a message whose metadata is not an object: the send refuses it. */
function withContext(message: BoundMessage, headers: Headers): BoundMessage {
  if (typeof message !== 'object' || message === null) return message;
  const { metadata = {} } = message;
  if (typeof metadata !== 'object' || metadata === null) return message;
  const traced = withRequestContext(headers, metadata);
  return traced === metadata ? message : { ...message, metadata: traced };
}

/** @throws HttpProblem 409 if an earlier delivery became another message */
async function send(
  inbox: EndpointInbox,
  found: WebhookMessages,
  headers: Headers,
  log: CommandLog,
): Promise<'accepted' | 'duplicate' | 'ignored'> {
  if (found === undefined)
    throw new ConfigurationError('toMessage must return a message, a list of messages, or null');
  const messages = [found ?? []].flat() as readonly BoundMessage[];
  if (messages.length === 0) return 'ignored';
  try {
    const sent = await inbox.sendMany(messages.map((message) => withContext(message, headers)));
    return sent.some(({ answer }) => answer === 'accepted') ? 'accepted' : 'duplicate';
  } catch (error) {
    if (!(error instanceof IdempotencyConflictError)) throw error;
    log.error('an event was delivered again and became another message, which was refused', {
      messageId: error.messageId,
    });
    throw problem(
      'event-changed',
      'an earlier delivery of this event became another message, which is unchanged',
    );
  }
}
