/**
 * Keeps secrets out of what is printed: errors of libraries may repeat what they were given.
 *
 * @module
 */

/** Shorter ones would hide ordinary words. */
const SHORTEST = 8;
/** The longest first: one secret can be the beginning of another. */
let secrets: string[] = [];

/** Whether a header of this name may hold a secret. */
export function isSecretHeader(name: string): boolean {
  return /auth|token|key|secret|cookie|password/i.test(name);
}

/** From now on {@link hideSecrets} hides this value, and each part of it that stands between whitespace. */
export function hideInMessages(secret: string): void {
  const parts = [secret, ...secret.split(/\s+/), ...passwordsIn(secret)].filter(
    (part) => part.length >= SHORTEST,
  );
  // Also as it looks inside of a JSON text.
  const forms = parts.flatMap((part) => [part, JSON.stringify(part).slice(1, -1)]);
  secrets = [...new Set([...secrets, ...forms])].sort((a, b) => b.length - a.length);
}

/** The password of a URL, as it is written there and decoded; none that is a word, such as `postgres`. */
function passwordsIn(text: string): string[] {
  if (!URL.canParse(text)) return [];
  const { password } = new URL(text);
  return [password, decoded(password)].filter((each) => each.length >= 12 || /[^a-z]/.test(each));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * `scheme://user:password@` and `scheme://token@`. One slash is enough: paths are written with one (`/app/nats:/user:…`).
 *
 * From a word's beginning and with limits: a text may be one word of a megabyte, which must not take a minute.
 */
const USER_INFO = /\b([\w+.-]{1,30}:\/\/?)(?:([^\s:/@]{0,300}:)\S{0,1000}|[^\s:/@]{1,1000})@/g;
/** `?password=…`, `&X-Amz-Signature=…`: the value of a parameter whose name says that it is secret. */
const PARAMETER =
  /([?&;][\w.-]{0,40}(?:password|passwd|pwd|token|secret|key|sig|signature|credential)[\w.-]{0,40}=)[^\s&"'<>]{1,4000}/gi;

/** `Authorization: Basic …`: also within JSON, and JSON within JSON. */
const AUTHORIZATION =
  /(\bauthorization\\?["'`]?\s{0,3}[:=]\s{0,3}\\?["'`]?(?:bearer|basic|token|apikey|digest|negotiate) )[^\s"'`\\]{1,4000}/gi;
/** `Bearer …`, `Basic …` elsewhere, if the next text has a digit, `=` or mixed case, which words have not. */
const CREDENTIALS =
  /\b((?:[Bb]earer|Basic|Token|ApiKey) )(?=\S{0,200}(?:[\d=]|[a-z][A-Z]))[\w.~+/=-]{8,4000}/g;
const SECRET_NAME = '(?:password|passwd|pwd|secret|token|api_?-?key|access_?-?key|private_?-?key|credential)';
/** `"apiKey": "…"`, `client_secret: '…'`, up to the same quote. */
const QUOTED = new RegExp(
  `(${SECRET_NAME}\\\\?["'\`]?\\s{0,3}[:=]\\s{0,3}(\\\\?["'\`]))(?:(?!\\2)(?:\\\\[^]|[^])){1,4000}`,
  'gi',
);
/** `password=…` as in libpq's settings. */
const UNQUOTED = new RegExp(`(${SECRET_NAME}=)(?![\\\\"'\`])[^\\s&<>"'\`]{1,4000}`, 'gi');

/** The text without secrets: those that were made known, and passwords, tokens and keys that can be told by what stands before. */
export function hideSecrets(text: string): string {
  let hidden = text
    .replaceAll(USER_INFO, '$1$2***@')
    .replaceAll(PARAMETER, '$1***')
    .replaceAll(AUTHORIZATION, '$1***')
    .replaceAll(CREDENTIALS, '$1***')
    .replaceAll(QUOTED, '$1***')
    .replaceAll(UNQUOTED, '$1***');
  for (const secret of secrets) hidden = hidden.replaceAll(secret, '***');
  return hidden;
}
