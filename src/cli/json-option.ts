import { InvalidMessageError } from '../errors.ts';
import type { Json } from '../json.ts';

/** @throws InvalidMessageError */
export function parsePayload(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw new InvalidMessageError('--payload', `is no JSON: ${(error as Error).message}`);
  }
}
