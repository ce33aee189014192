/**
 * Masks secrets in printed text, because the errors of libraries may repeat their input.
 *
 * @module
 */

/** Masking shorter secrets would hide ordinary words. */
const SHORTEST = 8;
/** Longest first, because one secret can be the beginning of another. */
let secrets: string[] = [];

/** Returns true if a header with this name may contain a secret. */
export function isSecretHeader(name: string): boolean {
  return /auth|token|key|secret|cookie|password/i.test(name);
}

/** Makes {@link maskSecrets} mask this value, and each of its parts between whitespace. */
export function registerSecret(secret: string): void {
  const parts = [secret, ...secret.split(/\s+/), ...passwordsIn(secret)].filter(
    (part) => part.length >= SHORTEST,
  );
  // Also as the part appears inside JSON text.
  const forms = parts.flatMap((part) => [part, JSON.stringify(part).slice(1, -1)]);
  secrets = [...new Set([...secrets, ...forms])].sort((a, b) => b.length - a.length);
}

/** The password of a URL, encoded and decoded, unless it is a plain word such as `postgres`. */
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
 * `scheme://user:password@` and `scheme://token@`. One slash is enough, because a path is written with one
 * (`/app/nats:/user:…`).
 *
 * The word boundary and the length limits keep the search fast: a text may be a single word of a megabyte, which must not
 * take a minute.
 */
const USER_INFO = /\b([\w+.-]{1,30}:\/\/?)(?:([^\s:/@]{0,300}:)\S{0,1000}|[^\s:/@]{1,1000})@/g;
/** `?password=…`, `&X-Amz-Signature=…`: the value of a parameter whose name suggests a secret. */
const PARAMETER =
  /([?&;][\w.-]{0,40}(?:password|passwd|pwd|token|secret|key|sig|signature|credential)[\w.-]{0,40}=)[^\s&"'<>]{1,4000}/gi;

/** `Authorization: Basic …`, also inside JSON and inside JSON within JSON. */
const AUTHORIZATION =
  /(\bauthorization\\?["'`]?\s{0,3}[:=]\s{0,3}\\?["'`]?(?:bearer|basic|token|apikey|digest|negotiate) )[^\s"'`\\]{1,4000}/gi;
/** `Bearer …`, `Basic …` elsewhere, if the next text contains a digit, `=` or mixed case, unlike an ordinary word. */
const CREDENTIALS =
  /\b((?:[Bb]earer|Basic|Token|ApiKey) )(?=\S{0,200}(?:[\d=]|[a-z][A-Z]))[\w.~+/=-]{8,4000}/g;
const SECRET_NAME = '(?:password|passwd|pwd|secret|token|api_?-?key|access_?-?key|private_?-?key|credential)';
/** `"apiKey": "…"`, `client_secret: '…'`, up to the matching quote. */
const QUOTED = new RegExp(
  `(${SECRET_NAME}\\\\?["'\`]?\\s{0,3}[:=]\\s{0,3}(\\\\?["'\`]))(?:(?!\\2)(?:\\\\[^]|[^])){1,4000}`,
  'gi',
);
/** `password=…`, as in libpq connection strings. */
const UNQUOTED = new RegExp(`(${SECRET_NAME}=)(?![\\\\"'\`])[^\\s&<>"'\`]{1,4000}`, 'gi');

/** Masks the registered secrets, and the passwords, tokens and keys that the preceding text identifies. */
export function maskSecrets(text: string): string {
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
