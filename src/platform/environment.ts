/**
 * Reads environment variables leniently: secrets that are mounted as files end with a line break, and Compose sets variables
 * to the empty string.
 *
 * @module
 */
import { ConfigurationError } from '../core/errors.ts';
import { registerSecret, isSecretHeader } from './secrets.ts';

export type Environment = Record<string, string | undefined>;

/** PEM text has line breaks, and several webhook secrets are separated by whitespace. */
const MANY_LINES = /_DATA$|^INBOX_ALERT_SECRET$/;
// oxlint-disable-next-line no-control-regex -- it looks for control characters
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
/** Characters that an HTTP header may contain. */
const PRINTABLE = /^[\u0020-\u007e]+$/;
const SECRET =
  /^(DATABASE_URL|INBOX_DIRECT_URL|INBOX_ALERT_URL|INBOX_ALERT_SECRET|TEMPORAL_API_KEY|TEMPORAL_CODEC_AUTH|TEMPORAL_TLS_CLIENT_KEY_DATA)$/;
const META = /^TEMPORAL_GRPC_META_/;

/**
 * Returns the variables whose names match, without whitespace and byte order marks around their values. Empty variables
 * count as not set.
 *
 * @throws ConfigurationError naming a variable whose value is quoted or contains a line break; the error never contains the
 *   value
 */
export function readVariables(env: Environment, names: RegExp): Record<string, string> {
  const values: Record<string, string> = {};
  for (const [name, raw] of Object.entries(env)) {
    if (raw === undefined || !names.test(name)) continue;
    const value = raw.trim();
    if (value === '') continue;
    if (SECRET.test(name) || (META.test(name) && isSecretHeader(name))) registerSecret(value);
    checkValue(name, value);
    values[name] = value;
  }
  return values;
}

/** @throws ConfigurationError if a value cannot be sent in a header */
export function checkHeader(name: string, value: string): void {
  if (!PRINTABLE.test(value))
    throw new ConfigurationError(
      `${name} has a character that a header cannot contain; copy the value again`,
    );
}

function checkValue(name: string, value: string): void {
  if (/^(["']).*\1$/s.test(value)) {
    throw new ConfigurationError(
      `${name} is in quotes, which are part of the value here (\`docker run --env-file\` keeps them); remove the quotes`,
    );
  }
  if (!MANY_LINES.test(name) && CONTROL.test(value))
    throw new ConfigurationError(`${name} has a line break or another control character in it; remove it`);
  if (name === 'TEMPORAL_API_KEY' || META.test(name)) checkHeader(name, value);
}
