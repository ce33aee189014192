/**
 * Whether Temporal's namespace knows the search attributes of the inbox.
 *
 * @module
 */
import type { Connection } from '@temporalio/client';
import { SEARCH_ATTRIBUTES } from './protocol.ts';

type OperatorConnection = Pick<Connection, 'operatorService'>;
/** `INDEXED_VALUE_TYPE_KEYWORD` of temporal.api.enums.v1.IndexedValueType: a number of the wire format. */
const KEYWORD = 2;

/** The names that are not registered as Keyword in the namespace; empty when all is well. */
export async function missingSearchAttributes(
  connection: OperatorConnection,
  namespace: string,
): Promise<string[]> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  return Object.values(SEARCH_ATTRIBUTES).filter((name) => Number(customAttributes?.[name]) !== KEYWORD);
}

/** Registers what is missing; the names that it registered. */
export async function registerSearchAttributes(
  connection: OperatorConnection,
  namespace: string,
): Promise<string[]> {
  const missing = await missingSearchAttributes(connection, namespace);
  if (missing.length > 0) {
    const searchAttributes = Object.fromEntries(missing.map((name) => [name, KEYWORD]));
    await connection.operatorService.addSearchAttributes({ namespace, searchAttributes });
  }
  return missing;
}
