/**
 * The commands that a worker knows. All settings are checked and resolved once, at startup.
 *
 * @module
 */
import { z } from 'zod';
import { isContract, typeProblem } from './contract.ts';
import type { CommandDefinition } from './define-command.ts';
import { toMilliseconds } from '../core/duration.ts';
import type { Duration } from '../core/duration.ts';
import { InvalidCommandError } from '../core/errors.ts';
import type { RetryOptions, RetryPolicy } from '../core/retry-policy.ts';
import { DEFAULT_RETRY_POLICY } from '../core/retry-policy.ts';

export const DEFAULT_TIMEOUT_MS = 10_000;
/** A first attempt is a local activity and occupies a workflow-task slot. Longer attempts must be `longRunning`. */
export const MAX_SHORT_TIMEOUT_MS = 60_000;
const DEFAULT_LONG_TIMEOUT_MS = 3_600_000;

export interface RegisteredCommand {
  readonly definition: CommandDefinition;
  readonly type: string;
  readonly retry: RetryPolicy;
  readonly timeoutMs: number;
  readonly longRunning: boolean;
  readonly express: boolean;
  /** An express command that gets a workflow once it is Completed. */
  readonly recorded: boolean;
  readonly effects: 'database' | 'external';
}

export type Registry = ReadonlyMap<string, RegisteredCommand>;

/**
 * Checks the commands and resolves their settings.
 *
 * @throws InvalidCommandError if a type is declared twice or a setting is invalid
 */
export function createRegistry(commands: readonly CommandDefinition[]): Registry {
  const registry = new Map<string, RegisteredCommand>();
  for (const definition of commands) {
    const command = register(definition);
    if (registry.has(command.type)) throw new InvalidCommandError(command.type, 'is declared twice');
    registry.set(command.type, command);
  }
  return registry;
}

/** Returns true if an export of a module is a command. Modules may export other things as well. */
export function isCommandDefinition(value: unknown): value is CommandDefinition {
  return isContract(value) && typeof (value as Partial<CommandDefinition>).handle === 'function';
}

const KNOWN = [
  'type',
  'schema',
  'result',
  'prepare',
  'handle',
  'retry',
  'timeout',
  'longRunning',
  'express',
  'effects',
];

function register(definition: CommandDefinition): RegisteredCommand {
  if (!isCommandDefinition(definition)) {
    throw new InvalidCommandError(
      String((definition as { type?: unknown })?.type),
      'needs type, schema and handle',
    );
  }
  const { type } = definition;
  const unknown = Object.keys(definition).find((name) => !KNOWN.includes(name));
  if (unknown !== undefined) throw new InvalidCommandError(type, `${unknown} is not a setting of a command`);
  const problem = typeProblem(type);
  if (problem) throw new InvalidCommandError(type, `type: ${problem}`);
  const parsed = settings.safeParse(definition);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new InvalidCommandError(type, `${issue.path.join('.')}: ${issue.message}`);
  }
  const { longRunning = false, express = false } = definition;
  if (longRunning && express) {
    throw new InvalidCommandError(
      type,
      'cannot be both express and longRunning: a long-running command needs its workflow from the start',
    );
  }
  return {
    definition,
    type,
    longRunning,
    express: express !== false,
    recorded: express === 'recorded',
    effects: definition.effects ?? 'database',
    retry: resolveRetry(type, definition.retry ?? {}),
    timeoutMs: resolveTimeout(type, definition.timeout, longRunning),
  };
}

const duration = z.union([z.number(), z.string()], 'must be a number of milliseconds or text such as 10s');
const settings = z.object({
  prepare: z.custom((value) => typeof value === 'function', 'must be a function').optional(),
  timeout: duration.optional(),
  longRunning: z.boolean('must be true or false').optional(),
  express: z.union([z.boolean(), z.literal('recorded')], "must be true, false or 'recorded'").optional(),
  effects: z.enum(['database', 'external'], 'must be database or external').optional(),
  retry: z
    .strictObject({
      maximumAttempts: z
        .int('must be a whole number')
        .min(1, 'must be at least 1')
        .max(10_000, 'must be at most 10000')
        .optional(),
      initialInterval: duration.optional(),
      backoffCoefficient: z
        .number('must be a number')
        .min(1, 'must be at least 1')
        .max(100, 'must be at most 100')
        .optional(),
      maximumInterval: duration.optional(),
    })
    .optional(),
});

function resolveRetry(type: string, options: RetryOptions): RetryPolicy {
  const initialIntervalMs = milliseconds(type, 'retry.initialInterval', options.initialInterval);
  const maximumIntervalMs = milliseconds(type, 'retry.maximumInterval', options.maximumInterval);
  const initial =
    initialIntervalMs ?? Math.min(DEFAULT_RETRY_POLICY.initialIntervalMs, maximumIntervalMs ?? Infinity);
  const maximum = maximumIntervalMs ?? Math.max(DEFAULT_RETRY_POLICY.maximumIntervalMs, initial);
  if (maximum < initial) {
    throw new InvalidCommandError(
      type,
      `retry.maximumInterval (${maximum} ms) is below initialInterval (${initial} ms)`,
    );
  }
  return {
    maximumAttempts: options.maximumAttempts ?? DEFAULT_RETRY_POLICY.maximumAttempts,
    initialIntervalMs: initial,
    backoffCoefficient: options.backoffCoefficient ?? DEFAULT_RETRY_POLICY.backoffCoefficient,
    maximumIntervalMs: maximum,
  };
}

function resolveTimeout(type: string, timeout: Duration | undefined, longRunning: boolean): number {
  const timeoutMs =
    milliseconds(type, 'timeout', timeout) ?? (longRunning ? DEFAULT_LONG_TIMEOUT_MS : DEFAULT_TIMEOUT_MS);
  if (timeoutMs > MAX_SHORT_TIMEOUT_MS && !longRunning) {
    throw new InvalidCommandError(
      type,
      `timeout: more than ${MAX_SHORT_TIMEOUT_MS / 1000} s requires longRunning: true, because a first attempt occupies a workflow-task slot`,
    );
  }
  return timeoutMs;
}

/** JavaScript's timers and Postgres's timeouts count milliseconds in 31 bits. */
const MAX_DURATION_MS = 24 * 24 * 3_600_000;

/** Milliseconds, from 1 ms to 24 days, or undefined if the setting is not set. */
function milliseconds(type: string, setting: string, value: Duration | undefined): number | undefined {
  if (value === undefined) return undefined;
  const ms = toMilliseconds(value);
  if (ms === null || ms < 1 || ms > MAX_DURATION_MS) {
    throw new InvalidCommandError(
      type,
      `${setting}: ${JSON.stringify(value)} is not a duration between 1 ms and 24 days, such as 500, '10s' or '5 minutes'`,
    );
  }
  return ms;
}
