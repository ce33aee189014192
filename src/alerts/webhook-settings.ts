/**
 * Where alerts are posted to, and what they are signed with: checked when the worker starts, not when a command dies.
 *
 * @module
 */
import { ConfigurationError } from '../core/errors.ts';

export interface WebhookSettings {
  /** May hold credentials: never to be logged. */
  url: string;
  /** `whsec_…` as in Standard Webhooks; alerts are signed with each of them. */
  secrets: string[];
}

const SECRET = /^whsec_([A-Za-z0-9+/]+={0,2})$/;
/** What the specification allows, in bytes. */
const MIN_KEY = 24;
const MAX_KEY = 64;
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

export interface WebhookInput {
  url: string;
  /** One or more, separated by spaces. */
  secret: string | undefined;
  /** http to other hosts than this one. */
  allowHttp: boolean;
}

/** What is wrong with them, by variable, with what to do; never with their values, which are secrets. */
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
      `is not set, but INBOX_ALERT_URL is: its receiver could not tell our alerts from anybody's. ${MAKE_ONE}`,
    ]);
  } else if (!secrets.every(isSecret)) {
    problems.push([
      'INBOX_ALERT_SECRET',
      `is not whsec_ and the base64 of ${MIN_KEY} to ${MAX_KEY} bytes (several are separated by spaces). ${MAKE_ONE}`,
    ]);
  }
  return problems;
}

const MAKE_ONE = 'Make one with: echo "whsec_$(openssl rand -base64 32)"';

/** @throws ConfigurationError for what {@link webhookProblems} finds */
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
  // Base64 that Node reads leniently, the library refuses.
  return bytes.length >= MIN_KEY && bytes.length <= MAX_KEY && bytes.toString('base64') === key;
}

function problemOfUrl(text: string, allowHttp: boolean): string | null {
  if (!URL.canParse(text)) return 'is no URL; give one such as https://hooks.example.com/inbox';
  const { protocol, hostname, username, password } = new URL(text);
  if (![username, password].every(canBeDecoded))
    return 'has a user or password with a % that is no escape; write %25 for it';
  if (protocol === 'https:') return null;
  if (protocol !== 'http:') return 'is neither an https nor an http URL';
  if (allowHttp || LOOPBACK.test(hostname)) return null;
  return 'is http, which anybody on the way can read: use https, or set INBOX_ALERT_ALLOW_HTTP=true';
}

function canBeDecoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
