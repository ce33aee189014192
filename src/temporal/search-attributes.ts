/**
 * Finds and registers the inbox's search attributes in Temporal's namespace. The inbox also works without some or all of
 * them.
 *
 * @module
 */
import type { Connection } from '@temporalio/client';
import { SEARCH_ATTRIBUTES } from '../core/protocol.ts';
import { shellWord } from '../core/shell.ts';
import { withinLimit } from './answer-limit.ts';
import type { WithDeadline } from './answer-limit.ts';

export type OperatorConnection = Pick<Connection, 'operatorService'> & WithDeadline;

/** The attributes that can be set. */
export interface UsableAttributes {
  has(name: string): boolean;
  /** Called after Temporal refused a start with these attributes and accepted it without them. */
  refused?(error: unknown): void;
}

/** A caller that has not checked the namespace passes true for all attributes or false for none. */
export type AttributeChoice = UsableAttributes | boolean;

export function usableOf(choice: AttributeChoice): UsableAttributes {
  return typeof choice === 'boolean' ? (choice ? ALL_ATTRIBUTES : NO_ATTRIBUTES) : choice;
}

export const ATTRIBUTE_NAMES: readonly string[] = Object.values(SEARCH_ATTRIBUTES);
export const ALL_ATTRIBUTES: UsableAttributes = new Set(ATTRIBUTE_NAMES);
export const NO_ATTRIBUTES: UsableAttributes = new Set();

/** temporal.api.enums.v1.IndexedValueType, in the order of its wire numbers. */
const TYPES = ['Unspecified', 'Text', 'Keyword', 'Int', 'Double', 'Bool', 'Datetime', 'KeywordList'];
const KEYWORD = TYPES.indexOf('Keyword');

export interface AttributeState {
  /** Registered as Keyword. */
  usable: string[];
  missing: string[];
  /** Registered with another type. A type cannot be changed. */
  conflicting: { name: string; type: string }[];
}

/** @throws the client's error if Temporal cannot be reached or refuses to list the attributes */
export async function inspectSearchAttributes(
  connection: OperatorConnection,
  namespace: string,
): Promise<AttributeState> {
  const list = () => connection.operatorService.listSearchAttributes({ namespace });
  const { customAttributes } = await withinLimit('the list of search attributes', list, {
    client: connection,
  });
  const state: AttributeState = { usable: [], missing: [], conflicting: [] };
  for (const name of ATTRIBUTE_NAMES) {
    const type = customAttributes?.[name];
    if (type === undefined || type === null) state.missing.push(name);
    else if ((type as number) === KEYWORD) state.usable.push(name);
    else state.conflicting.push({ name, type: TYPES[type as number] ?? String(type) });
  }
  return state;
}

/**
 * Returns the names that are not registered as Keyword in the namespace; empty if all are usable.
 *
 * @throws Error if Temporal cannot be reached, does not answer in time, or refuses to list the search attributes
 */
export async function missingSearchAttributes(
  connection: OperatorConnection,
  namespace: string,
): Promise<string[]> {
  const { usable } = await inspectSearchAttributes(connection, namespace);
  return ATTRIBUTE_NAMES.filter((name) => !usable.includes(name));
}

/** Describes missing and conflicting attributes, and the remedy; null if all are usable. */
export function describeProblems(
  { missing, conflicting }: AttributeState,
  namespace: string,
): { problem: string; remedy: string } | null {
  const problems: string[] = [];
  const remedies: string[] = [];
  if (missing.length > 0) {
    problems.push(`not registered: ${missing.join(', ')}`);
    remedies.push('run `inbox setup`');
  }
  for (const { name, type } of conflicting) {
    problems.push(`${name} is registered as ${type}, but the inbox needs Keyword`);
    remedies.push(
      `Temporal cannot change a type: if nothing else uses ${name}, remove it (temporal operator search-attribute remove ` +
        `--namespace ${shellWord(namespace) ?? '<namespace>'} --name ${name}) and run \`inbox setup\`; otherwise use another namespace`,
    );
  }
  if (problems.length === 0) return null;
  return { problem: problems.join('; '), remedy: remedies.join('; ') };
}

export interface Registration extends AttributeState {
  /** Registered by this call. */
  registered: string[];
  /** Why missing attributes could not be registered; null if none is missing. */
  error: unknown;
}

/** Temporal lists a new attribute shortly after it was added. */
const LISTED_WITHIN_MS = 10_000;
const POLL_INTERVAL_MS = 200;

/**
 * Registers the missing attributes one by one, so that one failure doesn't block the others. The result is read from the
 * final list, because another setup may run at the same time, and a server may ignore an addition.
 *
 * @throws Error if Temporal cannot be reached, does not answer in time, or refuses to list the search attributes
 */
export async function registerSearchAttributes(
  connection: OperatorConnection,
  namespace: string,
): Promise<Registration> {
  const before = await inspectSearchAttributes(connection, namespace);
  const errors: unknown[] = [];
  for (const name of before.missing) {
    const searchAttributes = { [name]: KEYWORD };
    const add = () => connection.operatorService.addSearchAttributes({ namespace, searchAttributes });
    await withinLimit(`the registration of ${name}`, add, { client: connection }).catch((error: unknown) => {
      errors.push(error);
    });
  }
  const deadline = Date.now() + LISTED_WITHIN_MS;
  for (;;) {
    const after = await inspectSearchAttributes(connection, namespace);
    if (after.missing.length <= errors.length || Date.now() > deadline) {
      const registered = before.missing.filter((name) => after.usable.includes(name));
      return { ...after, registered, error: after.missing.length === 0 ? null : (errors[0] ?? null) };
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
  }
}
