/**
 * Validates values with a schema of any library that implements Standard Schema.
 *
 * Source: https://standardschema.dev
 *
 * @module
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';

/** A part of a value that the schema refused. */
export interface FieldProblem {
  /** The location, such as `payload.items.0.sku`. */
  field: string;
  /** The problem, in the schema library's words. */
  problem: string;
}

export type Validated = { value: unknown } | { problems: readonly FieldProblem[] };

/** Returns true for an object or a function (ArkType's schemas are functions) that implements version 1 of Standard Schema. */
export function isStandardSchema(value: unknown): value is StandardSchemaV1 {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  const standard = (value as Partial<StandardSchemaV1>)['~standard'];
  return standard?.version === 1 && typeof standard.validate === 'function';
}

/**
 * Validates a value. Schema libraries may repeat the value in their messages; the problems returned here do not contain it.
 *
 * @param name - what the locations of problems begin with, such as `payload`
 * @returns the schema's output, or every problem that the schema found
 */
export async function validate(schema: StandardSchemaV1, value: unknown, name: string): Promise<Validated> {
  const outcome = await schema['~standard'].validate(value);
  if (!outcome.issues) return { value: outcome.value };
  return {
    problems: outcome.issues.map(({ path, message }) => {
      const keys = (path ?? []).map(keyOf);
      const problem = withoutValue(message, valueAt(value, keys));
      return { field: [name, ...keys.map(String)].join('.'), problem };
    }),
  };
}

/**
 * Validates a stored result. A handler that returns nothing has the result null, but its schema may expect undefined.
 *
 * @returns the schema's output, or every problem that the schema found
 */
export async function validateResult(schema: StandardSchemaV1, result: unknown): Promise<Validated> {
  const validated = await validate(schema, result, 'result');
  if ('value' in validated || result !== null) return validated;
  const asNothing = await validate(schema, undefined, 'result');
  return 'value' in asNothing ? asNothing : validated;
}

function keyOf(segment: PropertyKey | StandardSchemaV1.PathSegment): PropertyKey {
  return typeof segment === 'object' ? segment.key : segment;
}

function valueAt(value: unknown, keys: readonly PropertyKey[]): unknown {
  let found = value;
  for (const key of keys) {
    if (typeof found !== 'object' || found === null) return undefined;
    found = (found as Record<PropertyKey, unknown>)[key];
  }
  return found;
}

/** `Invalid email: Received "…"` (Valibot), `must be an email address (was "…")` (ArkType). */
const REPEATED_VALUE = /(?:[:,]| but)? received (?=["'`\d-]).*$|\s*\(was .*\)$/is;

function withoutValue(message: string, value: unknown): string {
  const short = message.replace(REPEATED_VALUE, '');
  if (typeof value !== 'string' && typeof value !== 'number') return short;
  const text = String(value);
  // Shorter texts are found in ordinary words.
  return text.length < 3 ? short : short.replaceAll(text, '…');
}
