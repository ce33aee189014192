/**
 * Checks the options of `runCommand`.
 *
 * @module
 */
import type { ClientBase, Pool } from 'pg';
import { DEFAULT_MAX_PAYLOAD_BYTES } from '../commands/message-validation.ts';
import type { CommandLog } from '../core/command-log.ts';
import { ConfigurationError, UnusableTransactionError } from '../core/errors.ts';
import { isWhole, unknownOptions } from '../platform/option-checks.ts';
import { hasEnded, isPool } from '../sending/inbox-options.ts';

/** The options as a caller in JavaScript may pass them. */
export type GivenOptions = Record<string, unknown>;

const MESSAGE_FIELDS = ['payload', 'messageId', 'correlationId', 'causationId', 'metadata'];
const OTHER_FIELDS = [
  'pool',
  'tx',
  'keep',
  'attempt',
  'generation',
  'receivedAt',
  'log',
  'maxPayloadBytes',
  'signal',
];
const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/**
 * Checks everything but the message.
 *
 * @throws ConfigurationError naming every invalid option; UnusableTransactionError if `tx` is a pool
 */
export function checkRunOptions(options: unknown): asserts options is GivenOptions {
  if (typeof options !== 'object' || options === null)
    throw new ConfigurationError('runCommand: the options must be an object with payload, and pool or tx');
  const given = options as GivenOptions;
  if (isPool(given['tx'])) {
    throw new UnusableTransactionError(
      'tx is a pool, which may run each statement on another connection: pass it as pool, or pass the client that began ' +
        'the transaction',
    );
  }
  const problems = [
    ...unknownOptions(given, [...MESSAGE_FIELDS, ...OTHER_FIELDS], 'runCommand'),
    ...placeProblems(given),
    ...attemptProblems(given),
  ];
  if (problems.length > 0) throw new ConfigurationError(`runCommand: ${problems.join('; ')}`);
}

function placeProblems({ pool, tx, keep }: GivenOptions): string[] {
  if (keep !== undefined && typeof keep !== 'boolean') return ['keep must be true or false'];
  if (pool !== undefined && tx !== undefined)
    return [
      'pool and tx are both set: pass the pool for a transaction of its own, or tx for a savepoint in yours',
    ];
  if (pool === undefined && tx === undefined)
    return ['pool or tx is required: pass a pg.Pool or a pg client'];
  if (tx !== undefined) return isClient(tx) ? [] : ['tx must be a pg client in a transaction'];
  if (!isPool(pool)) return ['pool must be a pg.Pool'];
  if (hasEnded(pool)) return ['pool was ended'];
  return keep ? ['keep needs tx: what runs in a transaction of its own is always rolled back'] : [];
}

function isClient(value: unknown): value is Pick<ClientBase, 'query'> {
  return typeof (value as Partial<Pick<ClientBase, 'query'>> | null)?.query === 'function';
}

function attemptProblems({
  attempt,
  generation,
  receivedAt,
  log,
  signal,
  ...others
}: GivenOptions): string[] {
  const problems: string[] = [];
  if (attempt !== undefined && !isWhole(attempt, 1, 10_000))
    problems.push('attempt must be a whole number from 1 to 10000');
  if (generation !== undefined && !isWhole(generation, 0, 10_000))
    problems.push('generation must be a whole number from 0 to 10000');
  if (receivedAt !== undefined && !isDate(receivedAt)) problems.push('receivedAt must be a valid Date');
  if (log !== undefined && !isLog(log))
    problems.push('log must be an object with the functions debug, info, warn and error');
  if (signal !== undefined && !isSignal(signal)) problems.push('signal must be an AbortSignal');
  const { maxPayloadBytes } = others;
  if (maxPayloadBytes !== undefined && !isWhole(maxPayloadBytes, 1, DEFAULT_MAX_PAYLOAD_BYTES))
    problems.push(`maxPayloadBytes must be a whole number from 1 to ${DEFAULT_MAX_PAYLOAD_BYTES}`);
  return problems;
}

function isSignal(value: unknown): boolean {
  const { aborted, addEventListener } = (value ?? {}) as Partial<AbortSignal>;
  return typeof aborted === 'boolean' && typeof addEventListener === 'function';
}

/** Does not use `instanceof`, because test runners such as Jest run tests in a realm of their own, with another Date. */
function isDate(value: unknown): boolean {
  return Object.prototype.toString.call(value) === '[object Date]' && !Number.isNaN(Number(value));
}

function isLog(value: unknown): value is CommandLog {
  return LEVELS.every((level) => typeof (value as Partial<CommandLog> | null)?.[level] === 'function');
}

/** The pool or the client, after {@link checkRunOptions}. */
export interface CheckedPlace {
  pool?: Pool;
  tx?: Pick<ClientBase, 'query'>;
  keep?: boolean;
}
