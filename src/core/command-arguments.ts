/**
 * Reads the arguments of a workflow whose type is the command's type: the payload, and optionally what comes with it.
 *
 * @module
 */
import { envelopeProblem } from './envelope-shape.ts';
import type { Completion, Envelope, MessageOptions } from './protocol.ts';

/** What the arguments of a command's workflow say. */
export type CommandArguments =
  /** The entry is in Postgres. */
  | { kind: 'stored' }
  /** The entry is in Postgres and Completed. Anyone can claim this, so Postgres has to confirm it. */
  | { kind: 'completed'; completed: Completion }
  | { kind: 'message'; envelope: Envelope }
  | { kind: 'invalid'; problem: string };

const OPTIONS: readonly (keyof MessageOptions)[] = ['correlationId', 'causationId', 'metadata'];

/**
 * Reads decoded arguments, which come from outside and can be anything.
 *
 * @param commandType - the workflow type
 */
export function readCommandArguments(commandType: string, args: readonly unknown[]): CommandArguments {
  const [payload, second] = args;
  if (args.length > 2)
    return invalid(`there are ${args.length} arguments; a command has a payload and, if needed, one more`);
  const options = second ?? {};
  if (!isObject(options)) return invalid('the second argument must be an object');
  if ('stored' in options || 'completed' in options) return readStoredArgument(options);
  if (payload === undefined && Object.keys(options).length === 0) return { kind: 'stored' };
  const unknown = Object.keys(options).find((field) => !(OPTIONS as readonly string[]).includes(field));
  if (unknown !== undefined) {
    return invalid(
      `the second argument has the unknown field ${JSON.stringify(unknown.slice(0, 100))}; it may have ${OPTIONS.join(', ')}`,
    );
  }
  const envelope = { ...options, commandType, payload };
  const problem = envelopeProblem(envelope);
  if (problem === null) return { kind: 'message', envelope: envelope as Envelope };
  const field =
    problem.field === 'commandType' ? 'the workflow type, which is the command type,' : problem.field;
  return invalid(`${field} ${problem.problem}`);
}

function readStoredArgument(options: Record<string, unknown>): CommandArguments {
  const { stored, completed, ...others } = options;
  const isAlone = Object.keys(others).length === 0;
  if (stored === true && completed === undefined && isAlone) return { kind: 'stored' };
  if (stored === undefined && isCompletion(completed) && isAlone) return { kind: 'completed', completed };
  return invalid(
    'the second argument is not one that the inbox creates: stored must be true, completed must have at and result, and nothing may stand beside them',
  );
}

/** Longer than any time in ISO 8601. */
const MAX_TIME_LENGTH = 40;

/** Returns whether a value is a usable {@link Completion}. */
export function isCompletion(value: unknown): value is Completion {
  if (!isObject(value)) return false;
  const { at, result } = value;
  if (typeof at !== 'string' || at.length > MAX_TIME_LENGTH || result === undefined) return false;
  return isSerializable(result);
}

/** JSON that is nested too deeply can be parsed but not serialized. Returning it would fail every workflow task. */
function isSerializable(value: unknown): boolean {
  try {
    JSON.stringify(value);
    return true;
  } catch {
    return false;
  }
}

function invalid(problem: string): CommandArguments {
  return { kind: 'invalid', problem };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
