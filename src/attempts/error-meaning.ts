/**
 * Which error of a chain matters: the one that decides whether to try again, and the one that says what went wrong.
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

/** An error that says itself what is to happen. The same message sent again would be refused again. */
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

/** Their causes tell how another execution ended, which decides nothing for this command. */
const OF_ANOTHER_EXECUTION = new Set([
  'WorkflowFailedError',
  'WorkflowUpdateFailedError',
  'ChildWorkflowFailure',
  'ActivityFailure',
  'NexusOperationFailure',
]);

/**
 * The outermost error that decides, however it is wrapped: an ORM's transaction helper that wraps an UnrecoverableError
 * does not make it transient. Of several errors at once (AggregateError) all must be final.
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

/** The deepest error that says something. */
export function rootCause(chain: readonly object[]): object {
  return (
    chain.findLast((error) => messageOfError(error) !== '' || typeOf(error, true) !== 'Error') ?? chain[0]!
  );
}

/**
 * The kind of error. `isCause`: it was found inside another one, where a system error's code (`ECONNREFUSED`) says more
 * than `Error`. One that is thrown as it is keeps the type that it always had: people filter by it.
 */
export function typeOf(error: object, isCause: boolean): string {
  const state = sqlStateOf(error);
  if (state) return `SQLSTATE ${state}`;
  const code = readText(error, 'code');
  const name = nameOf(error);
  if (name.startsWith('PrismaClient') && /^P\d{4}$/.test(code)) return `Prisma ${code}`;
  const says = name !== 'Error' && name !== 'AggregateError' && name !== 'Object';
  if (!isCause || says) return name;
  return /^[A-Z][A-Z0-9_]{2,}$/.test(code) ? code : readText(error, 'kind') || 'Error';
}

/** Many classes set no `name`, so that of the class says more than `Error`. */
function nameOf(error: object): string {
  const name = isError(error) ? (safely(() => String(error.name as unknown)) ?? '') : readText(error, 'name');
  if (name && name !== 'Error') return name;
  const className: unknown = safely(() => error.constructor.name);
  return typeof className === 'string' && className !== '' ? className : 'Error';
}

/** The stack of an error, followed by those of its causes; without statement parameters in their first lines. */
export function stackOf(chain: readonly object[]): string | null {
  const stacks = chain.map(ownStack).filter((stack) => stack !== null);
  return stacks.length === 0 ? null : stacks.join('\nCaused by: ');
}

/** So that those of the causes still have room behind it. */
const MAX_OWN_BYTES = 5_000;

function ownStack(error: object, at: number, chain: readonly object[]): string | null {
  const stack = readText(error, 'stack');
  const message = messageOfError(error);
  if (stack === '') return at === 0 ? null : `${nameOf(error)}: ${message}`;
  if (chain.length === 1 && safely(() => (error as Error).message) === message) return stack;
  return limitBytes(`${nameOf(error)}: ${limitBytes(message, 1_000)}\n${framesOf(stack)}`, MAX_OWN_BYTES);
}
