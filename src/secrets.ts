/**
 * Keeps secrets out of what is printed: errors of libraries may repeat what they were given.
 *
 * @module
 */

/** Shorter ones would hide ordinary words. */
const SHORTEST = 8;
const secrets = new Set<string>();

/** Whether a header of this name may hold a secret. */
export function isSecretHeader(name: string): boolean {
  return /auth|token|key|secret|cookie|password/i.test(name);
}

/** From now on {@link hideSecrets} hides this value, and each part of it that stands between whitespace. */
export function hideInMessages(secret: string): void {
  for (const part of [secret, ...secret.split(/\s+/)]) if (part.length >= SHORTEST) secrets.add(part);
}

/** The text without secrets: those that were made known, and passwords in URLs. */
export function hideSecrets(text: string): string {
  // From a word's beginning and with limits: a text may be one word of a megabyte, which must not take a minute.
  let hidden = text.replaceAll(/(\b\w{1,30}:\/\/[^\s:/@]{0,300}:)\S{0,1000}@/g, '$1***@');
  for (const secret of secrets) hidden = hidden.replaceAll(secret, '***');
  return hidden;
}
