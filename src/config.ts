/**
 * Settings from the environment, checked once.
 *
 * @module
 */
import { loadClientConnectConfig } from '@temporalio/envconfig';
import type { ClientConnectConfig } from '@temporalio/envconfig';
import { z } from 'zod';
import { DEFAULT_MAX_PAYLOAD_BYTES } from './envelope.ts';
import { checkHeader, readVariables } from './environment.ts';
import type { Environment } from './environment.ts';
import { messageOf } from './error-message.ts';
import { ConfigurationError } from './errors.ts';
import { DEFAULT_TASK_QUEUE } from './protocol.ts';
import { toMilliseconds } from './registry.ts';
import { hideInMessages, isSecretHeader } from './secrets.ts';
import { parseWebhook, webhookProblems } from './webhook-settings.ts';
import type { WebhookSettings } from './webhook-settings.ts';

export interface InboxSettings {
  taskQueue: string;
  /** Limit of a payload and of a result, in bytes of its jsonb's text. */
  maxPayloadBytes: number;
  /** First attempts at the same time in one worker. */
  concurrency: number;
  /** First attempts of express commands at the same time in one worker. */
  expressConcurrency: number;
  /** Retries and long-running attempts at the same time in one worker. */
  retryConcurrency: number;
  /** How long attempts in flight may go on after SIGTERM, in ms. */
  shutdownGraceMs: number;
  /** How long the event loop of a supervised worker may stand still before it is killed, in ms; 0 is for ever. */
  watchdogMs: number;
  /** Where alerts of dead letters are posted to; null is nowhere. */
  webhook: WebhookSettings | null;
  /** How long further dead letters of a failure group are gathered after an alert, in ms. */
  alertWindowMs: number;
  /** How long an alert is tried before it is given up, in ms. */
  alertGiveUpMs: number;
}

const whole = (fallback: number, max: number) =>
  z.coerce
    .number('is no number')
    .int('is no whole number')
    .min(1, 'is below 1')
    .max(max, `is above ${max}`)
    .default(fallback);

/** A duration in text, in ms. */
const duration = (fallback: string, minMs: number, maxMs: number, problem: string) =>
  z
    .string()
    .default(fallback)
    .transform((text) => toMilliseconds(text))
    .refine((ms) => ms !== null && ms >= minMs && ms <= maxMs, problem)
    .transform(Number);

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const known = z.object({
  INBOX_TASK_QUEUE: z
    .string()
    .min(1, 'is empty')
    .max(200, 'is longer than 200 characters')
    .default(DEFAULT_TASK_QUEUE),
  // Temporal refuses 2 MB, so more than 1 MiB of payload would get stuck on its way.
  INBOX_MAX_PAYLOAD_BYTES: whole(DEFAULT_MAX_PAYLOAD_BYTES, DEFAULT_MAX_PAYLOAD_BYTES),
  INBOX_CONCURRENCY: whole(32, 1_000),
  INBOX_EXPRESS_CONCURRENCY: whole(32, 1_000),
  INBOX_RETRY_CONCURRENCY: whole(16, 1_000),
  INBOX_SHUTDOWN_GRACE: duration('20s', 0, HOUR_MS, 'is no duration of at most an hour, such as 20s'),
  // Three times what Temporal gives an attempt without a heartbeat, and more than the longest garbage collection pause.
  INBOX_WATCHDOG: z
    .string()
    .default('30s')
    .transform((text) => toMilliseconds(text))
    .refine(
      (ms) => ms === 0 || (ms !== null && ms >= 2_000 && ms <= 3_600_000),
      'is neither 0 (off) nor a duration between 2s and an hour, such as 30s',
    )
    .transform(Number),
  // Set to nothing, as a Compose file does, is not set.
  INBOX_ALERT_URL: z.string().optional(),
  INBOX_ALERT_SECRET: z.string().optional(),
  INBOX_ALERT_ALLOW_HTTP: z.enum(['true', 'false', ''], 'is neither true nor false').default('false'),
  INBOX_ALERT_WINDOW: duration('1m', 0, DAY_MS, 'is no duration of at most a day, such as 1m'),
  INBOX_ALERT_GIVE_UP: duration(
    '3d',
    60_000,
    30 * DAY_MS,
    'is no duration between a minute and 30 days, such as 3d',
  ),
});

const settings = known
  .superRefine((values, context) => {
    const webhook = webhookOf(values);
    for (const [variable, message] of webhook ? webhookProblems(webhook) : [])
      context.addIssue({ code: 'custom', path: [variable], message });
  })
  .transform((values) => {
    const webhook = webhookOf(values);
    return { ...values, webhook: webhook ? parseWebhook(webhook) : null };
  });

function webhookOf(values: z.output<typeof known>) {
  const { INBOX_ALERT_URL: url, INBOX_ALERT_SECRET: secret, INBOX_ALERT_ALLOW_HTTP: allowHttp } = values;
  return url ? { url, secret, allowHttp: allowHttp === 'true' } : null;
}

/** What must not be repeated in an error's message. */
const SECRETS = ['INBOX_ALERT_URL', 'INBOX_ALERT_SECRET'];

/** @throws ConfigurationError naming every variable that is wrong */
export function readSettings(env: Environment = process.env): InboxSettings {
  const values = readVariables(env, /^INBOX_/);
  const parsed = settings.safeParse(values);
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
  };
}

/** @throws ConfigurationError saying what to set; never with the URL, which holds a password */
export function readDatabaseUrl(env: Environment = process.env): string {
  const url = readUrl(env, 'DATABASE_URL');
  if (url === null) {
    throw new ConfigurationError(
      'DATABASE_URL is not set: give the Postgres that holds the inbox, such as ' +
        'postgres://user:password@host:5432/database, or run `inbox dev` for an embedded one',
    );
  }
  return url;
}

/**
 * INBOX_DIRECT_URL: the same database without a pooler in between, for LISTEN. Null when it is not set, or empty.
 *
 * @throws ConfigurationError when it is not a postgres:// URL that can be read; never with the URL, which holds a password
 */
export function readDirectUrl(env: Environment = process.env): string | null {
  return readUrl(env, 'INBOX_DIRECT_URL');
}

function readUrl(env: Environment, name: string): string | null {
  const url = readVariables({ [name]: env[name] }, /./)[name];
  if (url === undefined) return null;
  if (!/^postgres(ql)?:\/\//.test(url)) throw new ConfigurationError(`${name} is no postgres:// URL`);
  if (isMisread(url)) {
    throw new ConfigurationError(
      `${name} has a user or password with a character that has a meaning in URLs: write %2F for /, %3F for ?, %23 for #`,
    );
  }
  return url;
}

/** `postgres://user:12/34@host/db`: parts of the password would be read as port and database, which messages repeat. */
function isMisread(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { username, pathname, search, hash } = new URL(text);
  return username === '' && (`${pathname}${hash}`.includes('@') || /^\?[^=]*@/.test(search));
}

/**
 * Where Temporal is, from its own variables and profile file.
 *
 * @throws ConfigurationError where neither says an address, or a setting cannot be used; never with a secret
 */
export function readTemporal(env: Environment = process.env): ClientConnectConfig & { namespace: string } {
  const config = loadTemporalConfig(env);
  if (!config.connectionOptions.address) {
    throw new ConfigurationError(
      'TEMPORAL_ADDRESS is not set, and no Temporal profile gives an address: set it to host:port of the Temporal ' +
        'server, such as localhost:7233, or run `inbox dev` for an embedded one',
    );
  }
  if (config.connectionOptions.address.includes('@')) {
    throw new ConfigurationError(
      "Temporal's address has a user or password in it: write host:port, and give the key as TEMPORAL_API_KEY",
    );
  }
  return { ...config, namespace: config.namespace ?? 'default' };
}

function loadTemporalConfig(env: Environment): ClientConnectConfig {
  const others = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !entry[0].startsWith('TEMPORAL_'),
  );
  const variables = { ...Object.fromEntries(others), ...readVariables(env, /^TEMPORAL_/) };
  let config: ClientConnectConfig;
  try {
    config = loadClientConnectConfig({ overrideEnvVars: variables });
  } catch (error) {
    throw new ConfigurationError(`the settings for Temporal cannot be used: ${problemOf(error)}`);
  }
  return { ...config, connectionOptions: cleanConnection(config.connectionOptions) };
}

/** A parser's message repeats the line, which may be that of the API key. */
function problemOf(error: unknown): string {
  const { line } = error as { line?: unknown };
  if (typeof line === 'number') return `the profile file is no valid TOML (line ${line})`;
  return messageOf(error);
}

type Connecting = ClientConnectConfig['connectionOptions'];

/** What a profile file says, like what variables say. */
function cleanConnection(options: Connecting): Connecting {
  const { apiKey, metadata } = options;
  const headers = Object.entries(metadata ?? {}).map(([name, value]) => {
    const clean = typeof value === 'string' ? value.trim() : value;
    if (typeof clean === 'string') {
      if (isSecretHeader(name)) hideInMessages(clean);
      checkHeader(`the gRPC header ${name}`, clean);
    }
    return [name, clean] as const;
  });
  if (typeof apiKey === 'string') {
    hideInMessages(apiKey.trim());
    checkHeader("Temporal's API key", apiKey.trim());
  }
  return {
    ...options,
    ...(typeof apiKey === 'string' && { apiKey: apiKey.trim() }),
    ...(metadata !== undefined && { metadata: Object.fromEntries(headers) }),
  };
}
