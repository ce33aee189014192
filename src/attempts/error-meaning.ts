/**
 * Finds the errors of a chain that matter: the one that decides whether to retry, and the one that says what went wrong.
 *
 * @module
 */
import { ApplicationFailure } from '@temporalio/common';
import { errorsOf, isError, readText, safely, sqlStateOf } from '../platform/error-chain.ts';
import { framesOf, messageOfError } from '../platform/error-text.ts';
import {
  IdempotencyConflictError,
  InvalidMessageError,
  RetryAfterError,
  UnrecoverableError,
} from '../core/errors.ts';
import { limitBytes } from '../core/text.ts';

/** An error that itself decides whether to retry. A message that was rejected would be rejected again. */
export type Decision =
  | UnrecoverableError
  | RetryAfterError
  | ApplicationFailure
  | InvalidMessageError
  | IdempotencyConflictError;

const DECISIONS = [
  UnrecoverableError,
  RetryAfterError,
  ApplicationFailure,
  InvalidMessageError,
  IdempotencyConflictError,
] as const;

/** The causes of these errors say how another execution ended, which decides nothing for this command. */
const OF_ANOTHER_EXECUTION = new Set([
  'WorkflowFailedError',
  'WorkflowUpdateFailedError',
  'ChildWorkflowFailure',
  'ActivityFailure',
  'NexusOperationFailure',
]);

/**
 * The outermost error that decides whether to retry, however it is wrapped: an UnrecoverableError stays unrecoverable inside
 * the error of an ORM's transaction helper. An AggregateError only counts as final if all of its errors are final.
 */
export function decisionIn(chain: readonly object[]): Decision | null {
  for (const error of chain) {
    if (isDecision(error)) return error;
    if (OF_ANOTHER_EXECUTION.has(readText(error, 'name'))) return null;
    if (isError(error) && !errorsOf(error).every(isFinal)) return null;
  }
  return null;
}

function isDecision(error: object): error is Decision {
  return safely(() => DECISIONS.some((type) => error instanceof type)) ?? false;
}

function isFinal(error: object): boolean {
  if (!isDecision(error) || error instanceof RetryAfterError) return false;
  return !(error instanceof ApplicationFailure) || error.nonRetryable === true;
}

/** The deepest error that has a message or an informative type. */
export function rootCause(chain: readonly object[]): object {
  return (
    chain.findLast((error) => messageOfError(error) !== '' || typeOf(error, true) !== 'Error') ?? chain[0]!
  );
}

/**
 * Names the kind of an error.
 *
 * @param isCause - the error was found inside another one. Then a system error is named by its code (`ECONNREFUSED`), which
 *   says more than `Error`. An error that was thrown directly keeps its name, because people already filter by it.
 */
export function typeOf(error: object, isCause: boolean): string {
  const state = sqlStateOf(error);
  if (state) return `SQLSTATE ${state}`;
  const code = readText(error, 'code');
  const name = nameOf(error);
  if (name.startsWith('PrismaClient') && /^P\d{4}$/.test(code)) return `Prisma ${code}`;
  const isInformative = name !== 'Error' && name !== 'AggregateError' && name !== 'Object';
  if (!isCause || isInformative) return name;
  return /^[A-Z][A-Z0-9_]{2,}$/.test(code) ? code : readText(error, 'kind') || 'Error';
}

/** Many error classes don't set `name`. The name of the class then says more than `Error`. */
function nameOf(error: object): string {
  const name = isError(error) ? (safely(() => String(error.name as unknown)) ?? '') : readText(error, 'name');
  if (name && name !== 'Error') return name;
  const className: unknown = safely(() => error.constructor.name);
  return typeof className === 'string' && className !== '' ? className : 'Error';
}

/** The stack of an error, followed by the stacks of its causes, without statement parameters in their first lines. */
export function stackOf(chain: readonly object[]): string | null {
  const stacks = chain.map(ownStack).filter((stack) => stack !== null);
  return stacks.length === 0 ? null : stacks.join('\nCaused by: ');
}

/** Limit for each stack of a chain, which leaves room for the stacks of the causes. */
const MAX_OWN_BYTES = 5_000;

function ownStack(error: object, at: number, chain: readonly object[]): string | null {
  const stack = readText(error, 'stack');
  const message = messageOfError(error);
  if (stack === '') return at === 0 ? null : `${nameOf(error)}: ${message}`;
  if (chain.length === 1 && safely(() => (error as Error).message) === message) return stack;
  return limitBytes(`${nameOf(error)}: ${limitBytes(message, 1_000)}\n${framesOf(stack)}`, MAX_OWN_BYTES);
}
