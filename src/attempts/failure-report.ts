/**
 * Turns a thrown value into a failure report: whether a retry makes sense, and what to store and show.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { ApplicationFailure } from '@temporalio/common';
import { msOptionalToNumber } from '@temporalio/common/lib/time.js';
import { errorChain, isError, looseCause, readText, safely, sqlStateOf } from '../platform/error-chain.ts';
import { storedDetails } from './failure-details.ts';
import { decisionIn, rootCause, stackOf, typeOf } from './error-meaning.ts';
import type { Decision } from './error-meaning.ts';
import { cutParameters, messageOfError } from '../platform/error-text.ts';
import { RetryAfterError, UnrecoverableError } from '../core/errors.ts';
import type { JsonObject } from '../core/json.ts';
import type { FAILURE } from '../core/protocol.ts';
import { toMilliseconds } from '../core/duration.ts';
import { maskSecrets } from '../platform/secrets.ts';
import { cleanText, limitBytes } from '../core/text.ts';

/** A failure as the inbox stores and shows it. */
export interface FailureReport {
  /** The kind of failure, without data: people group and search by it. */
  type: string;
  message: string;
  stack: string | null;
  retryable: boolean;
  /** The delay that the handler asked for, in ms; null means that the retry policy decides. */
  delayMs: number | null;
  /** The text that the failure group is derived from, if not the message: that of the cause, without its wrappers. */
  groupText?: string;
  /** The details of an UnrecoverableError, for the sender that waits for the result. */
  details?: JsonObject | null;
}

const MAX_ERROR_BYTES = 4_000;
const MAX_TYPE_BYTES = 200;
const MAX_STACK_BYTES = 16_000;
/** UTF-16 code units that are searched for secrets. The text is shortened afterwards: half a secret would not be found. */
const MAX_SEARCHED_CHARACTERS = 65_536;
/** Limit for each wrapper's message, so that a long statement does not crowd out the cause. */
const MAX_CONTEXT_BYTES = 500;

/**
 * Reads any thrown value, and never throws itself. Type, message and failure group come from the deepest informative cause,
 * so that a wrapper such as an ORM's error does not hide it. An error that decides whether to retry (such as
 * {@link UnrecoverableError}) keeps its meaning inside a wrapper.
 */
export function reportFailure(thrown: unknown): FailureReport {
  // With some proxies, even `instanceof` throws.
  return (
    safely(() => reportAny(thrown)) ?? report('NotAnError', 'threw a value that cannot be read', null, true)
  );
}

function reportAny(thrown: unknown): FailureReport {
  if (!isError(thrown)) return report('NotAnError', `threw ${describeThrown(thrown)}`, null, true);
  const chain = errorChain(thrown);
  const stack = stackOf(chain);
  const decision = decisionIn(chain);
  if (decision) return reportDecision(decision, chain, stack);
  const root = rootCause(chain);
  const outer = chain.slice(0, chain.indexOf(root)).map(messageOfError);
  const message = `${messageWithLooseCause(root)}${wrapperContext(outer, messageOfError(root))}`;
  const failure = report(typeOf(root, root !== thrown), message, stack, true);
  const groupText = groupTextOf(root);
  return groupText === failure.message ? failure : { ...failure, groupText };
}

/** Reports an error that itself decides whether to retry, no matter what its causes are. */
function reportDecision(decision: Decision, chain: readonly object[], stack: string | null): FailureReport {
  const own = messageOfError(decision);
  const root = rootCause(chain.slice(chain.indexOf(decision)));
  const cause = root === decision ? '' : `${typeOf(root, true)}: ${messageWithLooseCause(root)}`;
  const message = [own, cause === '' ? '' : `(cause: ${cause})`].filter(Boolean).join(' ');
  if (decision instanceof RetryAfterError) {
    const failure = { ...report('RetryAfter', message, stack, true), delayMs: retryAfterMs(decision) };
    return root === decision ? failure : { ...failure, groupText: `${own} ${groupTextOf(root)}` };
  }
  const failure = reportTyped(decision, message, stack);
  if (decision instanceof UnrecoverableError) {
    // Details differ from message to message, so they are no part of the group.
    const groupText = decision.isDescribedByDetails ? '' : own;
    return { ...failure, groupText, details: storedDetails(safely(() => decision.details)) };
  }
  return cause === '' ? failure : { ...failure, groupText: own };
}

function reportTyped(
  decision: Exclude<Decision, RetryAfterError>,
  message: string,
  stack: string | null,
): FailureReport {
  if (decision instanceof ApplicationFailure) {
    const delayMs = validDelay(safely(() => msOptionalToNumber(decision.nextRetryDelay ?? undefined)));
    return { ...report(decision.type ?? decision.name, message, stack, !decision.nonRetryable), delayMs };
  }
  const type = decision instanceof UnrecoverableError ? decision.type : decision.name;
  return report(type, message, stack, false);
}

/** The error's message and its `cause`, if that is text or an object with a code instead of an error. */
function messageWithLooseCause(error: object): string {
  const cause = looseCause(error);
  const text =
    typeof cause === 'string' ? cause : typeof cause === 'object' && cause ? readText(cause, 'code') : '';
  return text === '' ? messageOfError(error) : `${messageOfError(error)} (cause: ${text})`;
}

/**
 * The text that dead letters are grouped by. It names a violated constraint, because each constraint is a separate problem.
 */
function groupTextOf(error: object): string {
  const constraint = sqlStateOf(error) === null ? '' : readText(error, 'constraint');
  // The partitions of a table differ by the numbers in their names, which are left out.
  const text = limitMessage(messageWithLooseCause(error));
  return constraint === '' ? text : `${text} in ${constraint.replace(/\d+/g, '')}`;
}

/** The messages of the wrappers, outermost first, if they add something. */
function wrapperContext(outer: readonly string[], root: string): string {
  const messages = outer
    .filter((text, at) => addsTo(root, text) && outer.indexOf(text) === at)
    .map((text) => limitText(text, MAX_CONTEXT_BYTES));
  return messages.length === 0 ? '' : ` (reported as: ${messages.join(' > ')})`;
}

/** TypeORM's message, for example, only repeats that of its cause with `error: ` in front. */
function addsTo(root: string, text: string): boolean {
  if (root === '' || !text.includes(root)) return text !== '';
  return !/^\w*:?\s*$/.test(text.replace(root, ''));
}

/** A failure that the inbox itself detects. */
export function inboxFailure(
  type: (typeof FAILURE)[keyof typeof FAILURE],
  message: string,
  retryable: boolean,
): FailureReport {
  return report(type, message, null, retryable);
}

/** `Type: message`, at most 4 KB, as stored in `entries.error`. */
export function errorText({ type, message }: Pick<FailureReport, 'type' | 'message'>): string {
  return limitBytes(message === '' ? type : `${type}: ${message}`, MAX_ERROR_BYTES);
}

/** Splits the result of {@link errorText} into its parts. */
export function splitErrorText(text: string): Pick<FailureReport, 'type' | 'message' | 'stack'> {
  const end = text.indexOf(': ');
  if (end === -1) return { type: text, message: '', stack: null };
  return { type: text.slice(0, end), message: text.slice(end + 2), stack: null };
}

/**
 * The key that dead letters with the same cause share: `TransferFunds/InsufficientFunds/1f0c…`. Text that differs from
 * message to message (numbers, ids, quoted text) is ignored. At most 255 bytes, the limit of Temporal's search attributes.
 */
export function failureGroup(
  commandType: string,
  { type, message, groupText = message }: Pick<FailureReport, 'type' | 'message' | 'groupText'>,
): string {
  const cause = createHash('sha256').update(normalize(groupText, type)).digest('hex').slice(0, 8);
  return `${limitBytes(commandType, 120)}/${limitBytes(type, 120)}/${cause}`;
}

/** `Key (id)=(a b) already exists`, `Failing row contains (1, a b)`: the values may contain any characters. */
const KEY_VALUES = /(\([^()]*\))=\(.*\)/gs;
const FAILING_ROW = /(Failing row contains) \(.*\)/gs;
/** `invalid input syntax for type integer: "…"`: the value comes last and may contain quotes. */
const LAST_VALUE = /: ".*"$/s;

function normalize(message: string, type: string): string {
  return (type.startsWith('SQLSTATE ') ? message.replace(LAST_VALUE, ': ?') : cutParameters(message))
    .replace(KEY_VALUES, '$1=?')
    .replace(FAILING_ROW, '$1 ?')
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi, '?')
    .replace(/"[^"]*"|'[^']*'|`[^`]*`/g, '?')
    .replace(/=\S+/g, '=?')
    .replace(/\b\S*\d\S*/g, '?')
    .replace(/\s+/g, ' ');
}

/** Shortens a message so that it fits into {@link errorText} together with the type. */
function limitMessage(message: string): string {
  return limitText(message, MAX_ERROR_BYTES - MAX_TYPE_BYTES - 2);
}

/** Makes a text safe to store and to send to Temporal: libraries repeat URLs that they were given, with their passwords. */
function limitText(text: string, maxBytes: number): string {
  return limitBytes(cleanText(maskSecrets(text.slice(0, MAX_SEARCHED_CHARACTERS))), maxBytes);
}

/** Errors declare type and stack as strings, but a handler written in JavaScript may set them to anything. */
function report(type: unknown, message: string, stack: unknown, retryable: boolean): FailureReport {
  const cleanType = typeof type === 'string' ? limitBytes(cleanText(type), MAX_TYPE_BYTES) : '';
  return {
    type: cleanType || 'Error',
    message: limitMessage(message),
    stack: typeof stack === 'string' ? limitText(stack, MAX_STACK_BYTES) : null,
    retryable,
    delayMs: null,
  };
}

function retryAfterMs(error: RetryAfterError): number | null {
  return validDelay(safely(() => toMilliseconds(error.delay)));
}

/** Null for an invalid delay, so that the retry policy decides. */
function validDelay(delayMs: number | null | undefined): number | null {
  return typeof delayMs === 'number' && Number.isFinite(delayMs) && delayMs >= 0 ? delayMs : null;
}

function describeThrown(thrown: unknown): string {
  const text = safely(() => (typeof thrown === 'string' ? thrown : JSON.stringify(thrown)));
  return `${typeof thrown}: ${text ?? '(cannot be shown)'}`;
}
