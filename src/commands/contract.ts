/**
 * The part of a command that its senders need: its type, the schema of its payload, and the type of its result.
 *
 * @module
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { commandTypeProblem } from '../core/envelope-shape.ts';
import { InvalidCommandError } from '../core/errors.ts';
import type { JsonCompatible, NotJson, StoredAs } from '../core/json-type.ts';
import { isStandardSchema } from './schema.ts';

/** A schema of any library that implements Standard Schema, such as Zod, Valibot or ArkType. */
export type Schema = StandardSchemaV1;

/**
 * A command as its senders see it. `defineContract`, `defineCommand` and `implement` all return one.
 *
 * Source of the schema interface: https://standardschema.dev
 */
export interface CommandContract<
  Type extends string = string,
  PayloadSchema extends Schema = Schema,
  Result = unknown,
> {
  /** For example `TransferFunds`; 1 to 200 characters, no control characters. */
  readonly type: Type;
  /** Validates and converts the payload. Senders store the schema's input; handlers get its output. */
  readonly schema: PayloadSchema;
  /** Validates and converts the result, if the contract declares one. */
  readonly result?: Schema | undefined;
  /** Carries types only; always undefined. */
  readonly '~types'?: {
    readonly payload: StandardSchemaV1.InferInput<PayloadSchema>;
    readonly result: Result;
  };
}

/**
 * The payload that a sender passes: the input of the command's schema.
 *
 * @example
 * type Transfer = InferPayload<typeof transferFunds>;
 */
export type InferPayload<Command extends CommandContract> = NonNullable<Command['~types']>['payload'];

/**
 * The result that a caller of `execute` gets: what the handler returned, as JSON, or the output of the contract's result
 * schema. It is null if the handler returns nothing.
 */
export type InferResult<Command extends CommandContract> = NonNullable<Command['~types']>['result'];

/** Makes the compiler refuse a schema that JSON can never satisfy, such as one that requires a Date. */
export type WithJsonInput<PayloadSchema extends Schema> =
  StandardSchemaV1.InferInput<PayloadSchema> extends JsonCompatible<
    StandardSchemaV1.InferInput<PayloadSchema>
  >
    ? unknown
    : NotJson<'the schema requires a value that JSON cannot hold, such as a Date: accept text and transform it'>;

/** The arguments of {@link defineContract}. */
export interface ContractOptions<
  Type extends string,
  PayloadSchema extends Schema,
  ResultSchema extends Schema | undefined,
> {
  type: Type;
  schema: PayloadSchema & WithJsonInput<PayloadSchema>;
  /**
   * Describes the result. Workers store the schema's input, and an attempt that returns anything else fails; callers of
   * `execute` get the schema's output.
   */
  result?: ResultSchema;
}

export type ResultOf<ResultSchema extends Schema | undefined> = ResultSchema extends Schema
  ? StoredAs<StandardSchemaV1.InferOutput<ResultSchema>>
  : unknown;

/**
 * Declares a command for senders that must not load its handler. A worker implements it with `implement`.
 *
 * @throws InvalidCommandError for an invalid type, or a schema that does not implement Standard Schema
 * @example
 * export const reserveStock = defineContract({
 *   type: 'ReserveStock',
 *   schema: z.object({ sku: z.string(), quantity: z.int().positive() }),
 *   result: z.object({ free: z.int() }),
 * });
 */
export function defineContract<
  const Type extends string,
  PayloadSchema extends Schema,
  ResultSchema extends Schema | undefined = undefined,
>(
  options: ContractOptions<Type, PayloadSchema, ResultSchema>,
): CommandContract<Type, PayloadSchema, ResultOf<ResultSchema>> & { readonly result: ResultSchema } {
  checkContract(options);
  return { type: options.type, schema: options.schema, result: options.result as ResultSchema };
}

/** Returns true for a command that can be sent by value. */
export function isContract(value: unknown): value is CommandContract {
  const { type, schema } = (value ?? {}) as Partial<CommandContract>;
  return typeof type === 'string' && isStandardSchema(schema);
}

/** @throws InvalidCommandError for an invalid type, or a schema that does not implement Standard Schema */
export function checkContract(value: unknown): void {
  const { type, schema, result } = (value ?? {}) as Record<string, unknown>;
  const name = String(type);
  if (typeof type !== 'string') throw new InvalidCommandError(name, 'needs a type, which is text');
  const problem = typeProblem(type);
  if (problem) throw new InvalidCommandError(name, `type: ${problem}`);
  for (const [field, given] of Object.entries({ schema, result })) {
    if (field === 'result' && given === undefined) continue;
    if (isStandardSchema(given)) continue;
    throw new InvalidCommandError(name, `${field}: ${NOT_STANDARD}`);
  }
}

const NOT_STANDARD =
  'is not a schema that implements Standard Schema, such as one of Zod (3.24 or newer), Valibot or ArkType';

/** Returns null if the text can be the type of a command. */
export function typeProblem(type: string): string | null {
  return commandTypeProblem('type', type)?.problem ?? null;
}
