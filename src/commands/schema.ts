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
  /** What is wrong with it, in the schema library's words. */
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
 * Validates a value.
 *
 * @param name - what the locations of problems begin with, such as `payload`
 * @returns the schema's output, or every problem that the schema found
 */
export async function validate(schema: StandardSchemaV1, value: unknown, name: string): Promise<Validated> {
  const outcome = await schema['~standard'].validate(value);
  if (!outcome.issues) return { value: outcome.value };
  return {
    problems: outcome.issues.map(({ path = [], message }) => ({
      field: [name, ...path.map(keyOf)].join('.'),
      problem: message,
    })),
  };
}

function keyOf(segment: PropertyKey | StandardSchemaV1.PathSegment): string {
  return String(typeof segment === 'object' ? segment.key : segment);
}
