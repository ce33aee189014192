/**
 * Settings from the environment and from code. Both are validated once, with the same limits.
 *
 * @module
 */
import { z } from 'zod';
import { DEFAULT_MAX_PAYLOAD_BYTES } from './commands/message-validation.ts';
import { readVariables } from './platform/environment.ts';
import type { Environment } from './platform/environment.ts';
import { ConfigurationError } from './core/errors.ts';
import { DEFAULT_TASK_QUEUE } from './core/protocol.ts';
import { webUiProblem } from './temporal/web-ui.ts';
import { toMilliseconds } from './core/duration.ts';
import { parseWebhook, webhookProblems } from './alerts/webhook-settings.ts';
import type { WebhookSettings } from './alerts/webhook-settings.ts';

export interface InboxSettings {
  taskQueue: string;
  /** Size limit of a payload and of a result, in bytes of its jsonb's text. */
  maxPayloadBytes: number;
  /** First attempts that one worker runs at the same time. */
  concurrency: number;
  /** First attempts of express commands that one worker runs at the same time. */
  expressConcurrency: number;
  /** Retries and long-running attempts that one worker runs at the same time. */
  retryConcurrency: number;
  /** How long running attempts may continue after SIGTERM, in ms. */
  shutdownGraceMs: number;
  /** How long the event loop of a supervised worker may block before the worker is killed, in ms; 0 turns this off. */
  watchdogMs: number;
  /** Where dead-letter alerts are posted; null for no webhook. */
  webhook: WebhookSettings | null;
  /** How long further dead letters of a failure group are collected after an alert, in ms. */
  alertWindowMs: number;
  /** How long the delivery of an alert is retried, in ms. */
  alertGiveUpMs: number;
  /** The address of Temporal's Web UI, for links in alerts and on the command line; null for no links. */
  temporalUiUrl: string | null;
  /** A span for each statement of a handler. */
  traceQueries: boolean;
  /** Exports the texts of these statements, without the values of their parameters. */
  traceQueryText: boolean;
  /** Exports the messages of handlers' errors with spans. They may repeat parts of a payload. */
  traceErrorMessages: boolean;
}

const wholeNumber = (fallback: number, max: number) =>
  z.coerce
    .number('is not a number')
    .int('is not a whole number')
    .min(1, 'is below 1')
    .max(max, `is above ${max}`)
    .default(fallback);

/** A duration as text, converted to ms. */
const duration = (fallback: string, minMs: number, maxMs: number, problem: string) =>
  z
    .string()
    .default(fallback)
    .transform((text) => toMilliseconds(text))
    .refine((ms) => ms !== null && ms >= minMs && ms <= maxMs, problem)
    .transform(Number);

/** The empty string counts as not set. */
const trueOrFalse = (fallback: 'true' | 'false') =>
  z
    .enum(['true', 'false', ''], 'is neither true nor false')
    .default(fallback)
    .transform((text) => (text || fallback) === 'true');

function refuseUnlessWebUi(text: string, context: z.core.$RefinementCtx<string>): void {
  const problem = webUiProblem(text);
  if (problem !== null) context.addIssue({ code: 'custom', message: problem });
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const variables = z.object({
  INBOX_TASK_QUEUE: z
    .string()
    .min(1, 'is empty')
    .max(200, 'is longer than 200 characters')
    .default(DEFAULT_TASK_QUEUE),
  // Temporal refuses payloads of 2 MB, so anything over 1 MiB could get stuck on its way.
  INBOX_MAX_PAYLOAD_BYTES: wholeNumber(DEFAULT_MAX_PAYLOAD_BYTES, DEFAULT_MAX_PAYLOAD_BYTES),
  INBOX_CONCURRENCY: wholeNumber(32, 1_000),
  INBOX_EXPRESS_CONCURRENCY: wholeNumber(32, 1_000),
  INBOX_RETRY_CONCURRENCY: wholeNumber(16, 1_000),
  INBOX_SHUTDOWN_GRACE: duration('20s', 0, HOUR_MS, 'is not a duration of at most an hour, such as 20s'),
  // Three times as long as Temporal lets an attempt run without a heartbeat, and longer than any garbage collection pause.
  INBOX_WATCHDOG: z
    .string()
    .default('30s')
    .transform((text) => toMilliseconds(text))
    .refine(
      (ms) => ms === 0 || (ms !== null && ms >= 2_000 && ms <= 3_600_000),
      'is neither 0 (off) nor a duration between 2s and an hour, such as 30s',
    )
    .transform(Number),
  // Compose sets variables to the empty string, which counts as not set.
  INBOX_ALERT_URL: z.string().optional(),
  INBOX_ALERT_SECRET: z.string().optional(),
  INBOX_ALERT_ALLOW_HTTP: z.enum(['true', 'false', ''], 'is neither true nor false').default('false'),
  INBOX_ALERT_WINDOW: duration('1m', 0, DAY_MS, 'is not a duration of at most a day, such as 1m'),
  INBOX_ALERT_GIVE_UP: duration(
    '3d',
    60_000,
    30 * DAY_MS,
    'is not a duration between a minute and 30 days, such as 3d',
  ),
  INBOX_TEMPORAL_UI_URL: z.string().superRefine(refuseUnlessWebUi).optional(),
  INBOX_TRACE_QUERIES: trueOrFalse('true'),
  INBOX_TRACE_QUERY_TEXT: trueOrFalse('false'),
  INBOX_TRACE_ERROR_MESSAGES: trueOrFalse('false'),
});

const environmentSettings = variables
  .superRefine((values, context) => {
    const webhook = webhookOf(values);
    for (const [variable, message] of webhook ? webhookProblems(webhook) : [])
      context.addIssue({ code: 'custom', path: [variable], message });
  })
  .transform((values) => {
    const webhook = webhookOf(values);
    return { ...values, webhook: webhook ? parseWebhook(webhook) : null };
  });

function webhookOf(values: z.output<typeof variables>) {
  const { INBOX_ALERT_URL: url, INBOX_ALERT_SECRET: secret, INBOX_ALERT_ALLOW_HTTP: allowHttp } = values;
  return url ? { url, secret, allowHttp: allowHttp === 'true' } : null;
}

/** Variables whose values must not appear in an error message. */
const SECRETS = ['INBOX_ALERT_URL', 'INBOX_ALERT_SECRET', 'INBOX_TEMPORAL_UI_URL'];

/**
 * Reads the settings from the environment variables that start with `INBOX_`. Variables that are not set have their default.
 *
 * @throws ConfigurationError naming every invalid variable
 * @example
 * const worker = await createInboxWorker({ commands, databaseUrl, connection, settings: settingsFromEnv() });
 */
export function settingsFromEnv(env: Environment = process.env): InboxSettings {
  const values = readVariables(env, /^INBOX_/);
  const parsed = environmentSettings.safeParse(values);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => {
      const name = String(issue.path[0]);
      return SECRETS.includes(name)
        ? `${name} ${issue.message}`
        : `${name} (${JSON.stringify(values[name])}) ${issue.message}`;
    });
    throw new ConfigurationError(problems.join('; '));
  }
  return {
    taskQueue: parsed.data.INBOX_TASK_QUEUE,
    maxPayloadBytes: parsed.data.INBOX_MAX_PAYLOAD_BYTES,
    concurrency: parsed.data.INBOX_CONCURRENCY,
    expressConcurrency: parsed.data.INBOX_EXPRESS_CONCURRENCY,
    retryConcurrency: parsed.data.INBOX_RETRY_CONCURRENCY,
    shutdownGraceMs: parsed.data.INBOX_SHUTDOWN_GRACE,
    watchdogMs: parsed.data.INBOX_WATCHDOG,
    webhook: parsed.data.webhook,
    alertWindowMs: parsed.data.INBOX_ALERT_WINDOW,
    alertGiveUpMs: parsed.data.INBOX_ALERT_GIVE_UP,
    temporalUiUrl: parsed.data.INBOX_TEMPORAL_UI_URL ?? null,
    traceQueries: parsed.data.INBOX_TRACE_QUERIES,
    traceQueryText: parsed.data.INBOX_TRACE_QUERY_TEXT,
    traceErrorMessages: parsed.data.INBOX_TRACE_ERROR_MESSAGES,
  };
}

/** The settings of a worker that sets none. */
export const DEFAULT_SETTINGS: InboxSettings = settingsFromEnv({});

const optionalWholeNumber = (min: number, max: number) => {
  const problem = `must be a whole number from ${min} to ${max}`;
  return z.int(problem).min(min, problem).max(max, problem).optional();
};

const settingsInCode = z.strictObject({
  taskQueue: z.string('must be text').min(1, 'is empty').max(200, 'is longer than 200 characters').optional(),
  maxPayloadBytes: optionalWholeNumber(1, DEFAULT_MAX_PAYLOAD_BYTES),
  concurrency: optionalWholeNumber(1, 1_000),
  expressConcurrency: optionalWholeNumber(1, 1_000),
  retryConcurrency: optionalWholeNumber(1, 1_000),
  shutdownGraceMs: optionalWholeNumber(0, HOUR_MS),
  watchdogMs: z
    .int('must be 0 (off) or a whole number from 2000 to 3600000')
    .refine(
      (ms) => ms === 0 || (ms >= 2_000 && ms <= HOUR_MS),
      'must be 0 (off) or a whole number from 2000 to 3600000',
    )
    .optional(),
  webhook: z
    .strictObject({ url: z.string('must be text'), secrets: z.array(z.string('must be text')) })
    .superRefine(({ url, secrets }, context) => {
      // Code may use http freely; the environment must allow it explicitly.
      for (const [variable, message] of webhookProblems({ url, secret: secrets.join(' '), allowHttp: true }))
        context.addIssue({
          code: 'custom',
          path: [variable === 'INBOX_ALERT_URL' ? 'url' : 'secrets'],
          message,
        });
    })
    .nullable()
    .optional(),
  alertWindowMs: optionalWholeNumber(0, DAY_MS),
  // Shorter values than in the environment are allowed, so that tests need not wait a minute.
  alertGiveUpMs: optionalWholeNumber(1, 30 * DAY_MS),
  temporalUiUrl: z.string('must be text').superRefine(refuseUnlessWebUi).nullable().optional(),
  traceQueries: z.boolean('must be true or false').optional(),
  traceQueryText: z.boolean('must be true or false').optional(),
  traceErrorMessages: z.boolean('must be true or false').optional(),
});

/**
 * Validates the settings and returns those that are not undefined.
 *
 * @throws ConfigurationError naming every invalid or unknown setting; it never contains the webhook's values, which are
 *   secret
 */
export function checkSettings(settings: Partial<InboxSettings> | undefined): Partial<InboxSettings> {
  const parsed = settingsInCode.safeParse(settings ?? {});
  if (!parsed.success) {
    const problems = parsed.error.issues.flatMap((issue) => describe(issue, settings));
    throw new ConfigurationError(problems.join('; '));
  }
  const set = Object.entries(settings ?? {}).filter(([, value]) => value !== undefined);
  return Object.fromEntries(set);
}

function describe(issue: z.core.$ZodIssue, settings: unknown): string[] {
  const place = ['settings', ...issue.path].join('.');
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => `${place}.${key} is not a setting`);
  const [name] = issue.path;
  if (name === undefined) return ['settings must be an object'];
  const shown =
    name === 'webhook' || name === 'temporalUiUrl'
      ? ''
      : ` (${show((settings as Record<PropertyKey, unknown>)[name])})`;
  return [`${place}${shown} ${issue.message}`];
}

/** JSON cannot represent NaN. */
function show(value: unknown): string {
  return typeof value === 'number' ? String(value) : JSON.stringify(value);
}
