/**
 * JSON that both Postgres's jsonb and JavaScript can hold without loss. inbox.message_problem implements the same rules in
 * SQL.
 *
 * @module
 */
export type Json = string | number | boolean | null | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

/** Deeper values are refused: jsonb and recursive parsers overflow their stack at a few thousand levels. */
export const MAX_JSON_DEPTH = 200;

/** The location and description of a problem in a value: `payload.items[3].amount: is NaN`. */
export interface JsonProblem {
  path: string;
  problem: string;
}

/**
 * Finds the first part of a value that JSON, jsonb or a JavaScript number cannot hold. Returns null if there is none.
 * Properties that are undefined are ignored, as in JSON.stringify. Everything else that JSON.stringify would change silently
 * (NaN, Date, Map, functions …) is a problem.
 */
export function findJsonProblem(value: unknown, path: string): JsonProblem | null {
  const found = check(value, path, 0, new Set());
  return found && { ...found, path: readable(found.path) };
}

const MAX_PATH_LENGTH = 300;

/** Keys come from outside as well. Temporal's history accepts neither a megabyte-long key nor half a character. */
function readable(path: string): string {
  const short = path.length > MAX_PATH_LENGTH ? `${path.slice(0, MAX_PATH_LENGTH - 1)}…` : path;
  return short.replaceAll('\u0000', '\ufffd').toWellFormed();
}

function check(value: unknown, path: string, depth: number, above: Set<object>): JsonProblem | null {
  switch (typeof value) {
    case 'string':
      return checkText(value, path);
    case 'number':
      return checkNumber(value, path);
    case 'boolean':
      return null;
    case 'object':
      return value === null ? null : checkContainer(value, path, depth, above);
    default:
      return { path, problem: `is ${describe(typeof value)}, which JSON cannot hold` };
  }
}

function describe(type: string): string {
  return type === 'undefined' ? 'undefined' : `a ${type}`;
}

function checkText(value: string, path: string): JsonProblem | null {
  if (value.includes('\u0000')) return { path, problem: 'contains a NUL character, which jsonb cannot hold' };
  if (/\p{Surrogate}/u.test(value))
    return { path, problem: 'contains a lone surrogate, which is not Unicode text' };
  return null;
}

function checkNumber(value: number, path: string): JsonProblem | null {
  if (!Number.isFinite(value)) return { path, problem: `is ${value}, which JSON cannot hold` };
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return { path, problem: 'is an integer beyond 2^53, where digits are lost; send it as a string' };
  }
  return null;
}

function checkContainer(value: object, path: string, depth: number, above: Set<object>): JsonProblem | null {
  if (depth >= MAX_JSON_DEPTH) return { path, problem: `is nested deeper than ${MAX_JSON_DEPTH} levels` };
  if (above.has(value)) return { path, problem: 'refers to itself, which JSON cannot hold' };
  above.add(value);
  const problem = Array.isArray(value)
    ? checkItems(value, path, depth, above)
    : checkProperties(value, path, depth, above);
  above.delete(value);
  return problem;
}

function checkItems(
  items: unknown[] & { toJSON?: unknown },
  path: string,
  depth: number,
  above: Set<object>,
): JsonProblem | null {
  const replaced = checkToJson(items, path);
  if (replaced) return replaced;
  // By index: a hole in an array is undefined here, but forEach would skip it.
  for (let index = 0; index < items.length; index += 1) {
    const problem = check(items[index], `${path}[${index}]`, depth + 1, above);
    if (problem) return problem;
  }
  return null;
}

function checkProperties(value: object, path: string, depth: number, above: Set<object>): JsonProblem | null {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    return { path, problem: `is a ${className(value)}; only plain objects and arrays survive as JSON` };
  }
  const replaced = checkToJson(value, path);
  if (replaced) return replaced;
  for (const [key, property] of Object.entries(value)) {
    if (property === undefined) continue;
    const inside = `${path}.${key}`;
    const problem = checkText(key, inside) ?? check(property, inside, depth + 1, above);
    if (problem) return problem;
  }
  return null;
}

function checkToJson(value: { toJSON?: unknown }, path: string): JsonProblem | null {
  if (typeof value.toJSON !== 'function') return null;
  return { path, problem: 'has a method toJSON, which would replace it with another value' };
}

/** Reads the name from the prototype, because an object may have an own property named `constructor`, or none at all. */
function className(value: object): string {
  const { constructor } = Object.getPrototypeOf(value) as { constructor?: { name?: unknown } };
  return typeof constructor?.name === 'string' && constructor.name ? constructor.name : 'class instance';
}

/**
 * The size of a value in Postgres: the bytes of its jsonb as text, which has a space after each colon and comma, and no
 * exponents. `5e-324` takes 326 bytes there.
 *
 * @param value - a value without a problem: see {@link findJsonProblem}
 * @returns the exact size if it is near or above `limit`; otherwise the size of the JSON text, which is smaller
 */
export function storedBytes(value: unknown, limit: number): number {
  const text = JSON.stringify(value);
  const bytes = Buffer.byteLength(text);
  // There are at most half as many separators as bytes. An `e-` may also be part of a string.
  if (bytes * 1.5 <= limit && !text.includes('e-')) return bytes;
  return bytes + addedByJsonb(value);
}

function addedByJsonb(value: unknown): number {
  if (typeof value === 'number') return addedToNumber(value);
  if (typeof value !== 'object' || value === null) return 0;
  const parts = Object.values(value).filter((part) => part !== undefined);
  const commas = Math.max(0, parts.length - 1);
  const colons = Array.isArray(value) ? 0 : parts.length;
  return parts.reduce<number>((sum, part) => sum + addedByJsonb(part), commas + colons);
}

/** `-1.5e-7` is `-0.00000015` in jsonb. Numbers that JavaScript writes with a positive exponent were refused before. */
function addedToNumber(value: number): number {
  const text = String(Math.abs(value));
  const [digits = '', exponent] = text.split('e-');
  if (exponent === undefined) return 0;
  return 1 + Number(exponent) + digits.replace('.', '').length - text.length;
}
