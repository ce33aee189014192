/**
 * Settings that are passed in code, with the limits of those from the environment.
 *
 * @module
 */
import { z } from 'zod';
import type { InboxSettings } from './config.ts';
import { DEFAULT_MAX_PAYLOAD_BYTES } from './envelope.ts';
import { ConfigurationError } from './errors.ts';
import { webhookProblems } from './webhook-settings.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const whole = (min: number, max: number) => {
  const problem = `must be a whole number from ${min} to ${max}`;
  return z.int(problem).min(min, problem).max(max, problem).optional();
};

const schema = z.strictObject({
  taskQueue: z.string('must be text').min(1, 'is empty').max(200, 'is longer than 200 characters').optional(),
  maxPayloadBytes: whole(1, DEFAULT_MAX_PAYLOAD_BYTES),
  concurrency: whole(1, 1_000),
  expressConcurrency: whole(1, 1_000),
  retryConcurrency: whole(1, 1_000),
  shutdownGraceMs: whole(0, HOUR_MS),
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
      // Code may choose http, which the environment must allow explicitly.
      for (const [variable, message] of webhookProblems({ url, secret: secrets.join(' '), allowHttp: true }))
        context.addIssue({
          code: 'custom',
          path: [variable === 'INBOX_ALERT_URL' ? 'url' : 'secrets'],
          message,
        });
    })
    .nullable()
    .optional(),
  alertWindowMs: whole(0, DAY_MS),
  // Shorter than the environment allows: tests do not wait a minute.
  alertGiveUpMs: whole(1, 30 * DAY_MS),
});

/**
 * The settings that are set, checked. Undefined is not set.
 *
 * @throws ConfigurationError naming every one that is wrong, or not known; never with a value of the webhook, which is secret
 */
export function checkSettings(settings: Partial<InboxSettings> | undefined): Partial<InboxSettings> {
  const parsed = schema.safeParse(settings ?? {});
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
  const shown = name === 'webhook' ? '' : ` (${show((settings as Record<PropertyKey, unknown>)[name])})`;
  return [`${place}${shown} ${issue.message}`];
}

/** JSON has no NaN. */
function show(value: unknown): string {
  return typeof value === 'number' ? String(value) : JSON.stringify(value);
}
