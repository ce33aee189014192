/**
 * What a thrown value means: is it worth trying again, and how is it written down.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { ApplicationFailure } from '@temporalio/common';
import { msOptionalToNumber } from '@temporalio/common/lib/time.js';
import { sqlState } from './database.ts';
import { RetryAfterError, UnrecoverableError } from './errors.ts';
import type { FAILURE } from './protocol.ts';
import { toMilliseconds } from './registry.ts';
import { cleanText, limitBytes } from './text.ts';

/** A failure as the inbox stores and shows it. */
export interface FailureReport {
  /** The kind of failure, without data: people group and search by it. */
  type: string;
  message: string;
  stack: string | null;
  retryable: boolean;
  /** The delay that the handler asked for, in ms; null means that the retry policy decides. */
  delayMs: number | null;
}

const MAX_ERROR_BYTES = 4_000;
const MAX_TYPE_BYTES = 200;
const MAX_STACK_BYTES = 16_000;

/** Reads any thrown value; nothing a handler throws can make this throw. */
export function reportFailure(thrown: unknown): FailureReport {
  // A proxy may refuse even to be asked what it is.
  return safely(() => reportAny(thrown)) ?? report('NotAnError', 'threw what cannot be read', null, true);
}

function reportAny(thrown: unknown): FailureReport {
  if (!(thrown instanceof Error)) return report('NotAnError', `threw ${describeThrown(thrown)}`, null, true);
  const stack = safely(() => thrown.stack);
  const message = readText(thrown, 'message');
  if (thrown instanceof UnrecoverableError) return report(thrown.type, message, stack, false);
  if (thrown instanceof RetryAfterError) return retryAfter(thrown, message, stack);
  if (thrown instanceof ApplicationFailure) {
    const delayMs = usableDelay(safely(() => msOptionalToNumber(thrown.nextRetryDelay ?? undefined)));
    return { ...report(thrown.type ?? thrown.name, message, stack, !thrown.nonRetryable), delayMs };
  }
  const state = sqlState(thrown);
  if (state) return report(`SQLSTATE ${state}`, message, stack, true);
  return report(nameOf(thrown), message, stack, true);
}

/** A failure that the inbox itself finds. */
export function inboxFailure(
  type: (typeof FAILURE)[keyof typeof FAILURE],
  message: string,
  retryable: boolean,
): FailureReport {
  return report(type, message, null, retryable);
}

/** `Type: message`, at most 4 KB: what stands in `entries.error`. */
export function errorText({ type, message }: Pick<FailureReport, 'type' | 'message'>): string {
  return limitBytes(message === '' ? type : `${type}: ${message}`, MAX_ERROR_BYTES);
}

/** Back from {@link errorText} to its parts. */
export function splitErrorText(text: string): Pick<FailureReport, 'type' | 'message' | 'stack'> {
  const end = text.indexOf(': ');
  if (end === -1) return { type: text, message: '', stack: null };
  return { type: text.slice(0, end), message: text.slice(end + 2), stack: null };
}

/**
 * The key that dead letters with the same cause share: `TransferFunds/InsufficientFunds/1f0c…`. What differs from
 * message to message (numbers, ids, quoted text) does not count. At most 255 bytes, for Temporal's search attribute.
 */
export function failureGroup(
  commandType: string,
  { type, message }: Pick<FailureReport, 'type' | 'message'>,
): string {
  const cause = createHash('sha256').update(normalise(message)).digest('hex').slice(0, 8);
  return `${limitBytes(commandType, 120)}/${limitBytes(type, 120)}/${cause}`;
}

function normalise(message: string): string {
  return message
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi, '?')
    .replace(/"[^"]*"|'[^']*'|`[^`]*`/g, '?')
    .replace(/=\S+/g, '=?')
    .replace(/\b\S*\d\S*/g, '?')
    .replace(/\s+/g, ' ');
}

/** Type and stack are typed as text where they come from, but a handler may be JavaScript. */
function report(type: unknown, message: string, stack: unknown, retryable: boolean): FailureReport {
  const cleanType = typeof type === 'string' ? limitBytes(cleanText(type), MAX_TYPE_BYTES) : '';
  return {
    type: cleanType || 'Error',
    message: limitBytes(cleanText(message), MAX_ERROR_BYTES - MAX_TYPE_BYTES - 2),
    stack: typeof stack === 'string' ? limitBytes(cleanText(stack), MAX_STACK_BYTES) : null,
    retryable,
    delayMs: null,
  };
}

function retryAfter(error: RetryAfterError, message: string, stack: unknown): FailureReport {
  return { ...report('RetryAfter', message, stack, true), delayMs: usableDelay(toMilliseconds(error.delay)) };
}

/** A delay that is none leaves the choice to the retry policy. */
function usableDelay(delayMs: number | null | undefined): number | null {
  return typeof delayMs === 'number' && Number.isFinite(delayMs) && delayMs >= 0 ? delayMs : null;
}

/** Many classes set no `name`, so that of the class tells more than `Error`. */
function nameOf(error: Error): unknown {
  const name = readText(error, 'name');
  return name && name !== 'Error' ? name : safely(() => error.constructor.name);
}

function describeThrown(thrown: unknown): string {
  const text = safely(() => (typeof thrown === 'string' ? thrown : JSON.stringify(thrown)));
  return `${typeof thrown}: ${text ?? '(cannot be shown)'}`;
}

/** Typed as text, but a foreign class may hold anything there. */
function readText(error: Error, property: 'message' | 'name'): string {
  return safely(() => String(error[property] as unknown)) ?? '';
}

/** Getters of foreign errors may throw. */
function safely<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
