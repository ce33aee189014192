/**
 * Copies JSON, with the changes that storing it in Postgres makes.
 *
 * @module
 */
import type { Json } from '../core/json.ts';

/**
 * Returns the value as it is read from a `jsonb` column: without properties that are undefined, and with the keys of each
 * object in the order of `jsonb`.
 */
export function asStored(value: Json): Json {
  return JSON.parse(storedText(value)) as Json;
}

function storedText(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(storedText).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const properties = Object.entries(value)
    .filter(([, property]) => property !== undefined)
    .map(([key, property]) => ({
      key: Buffer.from(key),
      text: `${JSON.stringify(key)}:${storedText(property)}`,
    }))
    .sort((one, other) => byKey(one.key, other.key));
  return `{${properties.map(({ text }) => text).join(',')}}`;
}

/** Postgres sorts short keys before long ones, and keys of the same length by their bytes. */
function byKey(one: Buffer, other: Buffer): number {
  return one.length - other.length || Buffer.compare(one, other);
}
