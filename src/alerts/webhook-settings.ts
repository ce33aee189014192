/**
 * The URL that alerts are posted to and the secrets that sign them. Both are checked when the worker starts, not when the
 * first dead letter occurs.
 *
 * @module
 */
import { ConfigurationError } from '../core/errors.ts';

export interface WebhookSettings {
  /** May contain credentials: never log it. */
  url: string;
  /** Secrets of the form `whsec_…` (Standard Webhooks). Each alert is signed with all of them. */
  secrets: string[];
}

const SECRET = /^whsec_([A-Za-z0-9+/]+={0,2})$/;
/** The key length that the specification allows, in bytes. */
const MIN_KEY = 24;
const MAX_KEY = 64;
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

export interface WebhookInput {
  url: string;
  /** One or more, separated by spaces. */
  secret: string | undefined;
  /** Allows http to hosts other than this one. */
  allowHttp: boolean;
}

/** The problem and the remedy for each invalid variable, without the values, because they are secrets. */
export function webhookProblems({
  url,
  secret,
  allowHttp,
}: WebhookInput): [variable: string, problem: string][] {
  const problems: [string, string][] = [];
  const urlProblem = problemOfUrl(url, allowHttp);
  if (urlProblem) problems.push(['INBOX_ALERT_URL', urlProblem]);
  const secrets = splitSecrets(secret);
  if (secrets.length === 0) {
    problems.push([
      'INBOX_ALERT_SECRET',
      `is not set, but INBOX_ALERT_URL is: without a secret, the receiver cannot verify who sent an alert. ${HOW_TO_CREATE}`,
    ]);
  } else if (!secrets.every(isSecret)) {
    problems.push([
      'INBOX_ALERT_SECRET',
      `is not whsec_ followed by the base64 of ${MIN_KEY} to ${MAX_KEY} bytes (separate several secrets with spaces). ${HOW_TO_CREATE}`,
    ]);
  }
  return problems;
}

const HOW_TO_CREATE = 'Create one with: echo "whsec_$(openssl rand -base64 32)"';

/** @throws ConfigurationError if {@link webhookProblems} finds a problem */
export function parseWebhook(input: WebhookInput): WebhookSettings {
  const problems = webhookProblems(input);
  if (problems.length > 0) throw new ConfigurationError(problems.map((each) => each.join(' ')).join('; '));
  return { url: input.url, secrets: splitSecrets(input.secret) };
}

function splitSecrets(secret: string | undefined): string[] {
  return (secret ?? '').split(/\s+/).filter((each) => each !== '');
}

function isSecret(secret: string): boolean {
  const [, key] = SECRET.exec(secret) ?? [];
  if (key === undefined) return false;
  const bytes = Buffer.from(key, 'base64');
  // Node decodes invalid base64 leniently; the library rejects it.
  return bytes.length >= MIN_KEY && bytes.length <= MAX_KEY && bytes.toString('base64') === key;
}

function problemOfUrl(text: string, allowHttp: boolean): string | null {
  if (!URL.canParse(text)) return 'is not a URL; give one such as https://hooks.example.com/inbox';
  const { protocol, hostname, username, password } = new URL(text);
  if (![username, password].every(canBeDecoded))
    return 'has a user or password with a % that starts no escape sequence; write it as %25';
  if (protocol === 'https:') return null;
  if (protocol !== 'http:') return 'is neither an https nor an http URL';
  if (allowHttp || LOOPBACK.test(hostname)) return null;
  return 'is http, which anyone on the network path can read: use https, or set INBOX_ALERT_ALLOW_HTTP=true';
}

function canBeDecoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
