/**
 * Gives a caller the result of a command as its contract declares it.
 *
 * @module
 */
import { InvalidResultError } from '../core/errors.ts';
import type { CommandContract } from './contract.ts';
import { validateResult } from './schema.ts';

/**
 * @returns the output of the contract's result schema, or the stored result if the contract declares none
 * @throws InvalidResultError if the result does not fit the schema
 */
export async function parseResult(
  command: CommandContract,
  messageId: string,
  result: unknown,
): Promise<unknown> {
  if (!command.result) return result;
  const validated = await validateResult(command.result, result);
  if ('value' in validated) return validated.value;
  throw new InvalidResultError(messageId, validated.problems);
}
