/**
 * The details of an error, as they are stored with a dead letter.
 *
 * @module
 */
import { findJsonProblem, storedBytes } from '../core/json.ts';
import type { Json, JsonObject } from '../core/json.ts';
import { cleanText } from '../core/text.ts';
import { safely } from '../platform/error-chain.ts';
import { maskSecrets } from '../platform/secrets.ts';

const MAX_DETAILS_BYTES = 4_000;

/**
 * Returns the details with secrets masked; null if there are none, if they are not JSON, or if they exceed 4 KB. They are
 * never shortened, because the caller of `execute` could mistake a part of them for all.
 */
export function storedDetails(details: unknown): JsonObject | null {
  return safely(() => readDetails(details)) ?? null;
}

function readDetails(details: unknown): JsonObject | null {
  if (typeof details !== 'object' || details === null || Array.isArray(details)) return null;
  if (Object.keys(details).length === 0 || findJsonProblem(details, 'details') !== null) return null;
  const masked = mask(details as JsonObject) as JsonObject;
  return storedBytes(masked, MAX_DETAILS_BYTES) > MAX_DETAILS_BYTES ? null : masked;
}

function mask(value: Json): Json {
  if (typeof value === 'string') return cleanText(maskSecrets(value));
  if (Array.isArray(value)) return value.map(mask);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(
    entries.map(([key, each]) => [cleanText(maskSecrets(key)), maskField(key, each)]),
  );
}

/** A field such as `password` is masked because of its name. */
function maskField(key: string, value: Json): Json {
  const isSecret = typeof value === 'string' && maskSecrets(`${key}=${value}`) === `${key}=***`;
  return isSecret ? '***' : mask(value);
}
