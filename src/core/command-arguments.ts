/**
 * Reads the arguments of a workflow whose type is the command's type: the payload, and optionally what comes with it.
 *
 * @module
 */
import { envelopeProblem, isObject } from './envelope-shape.ts';
import type { Envelope, MessageOptions } from './protocol.ts';

/** What the arguments of a command's workflow say. */
export type CommandArguments =
  /** The entry is in Postgres. Anyone can claim that it has completed, so Postgres has to confirm it. */
  | { kind: 'stored'; isCompleted: boolean }
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
    return invalid(
      `there are ${args.length} arguments; a command takes its payload and an optional object with ${OPTIONS.join(', ')}`,
    );
  const options = second ?? {};
  if (!isObject(options)) return invalid('the second argument must be an object');
  if ('stored' in options || 'completed' in options) return readStoredArgument(options);
  if (payload === undefined && Object.keys(options).length === 0)
    return { kind: 'stored', isCompleted: false };
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

/** Longer than any time in ISO 8601. */
export const MAX_TIME_LENGTH = 40;

function readStoredArgument({ stored, completed, ...others }: Record<string, unknown>): CommandArguments {
  const isTime = typeof completed === 'string' && completed.length <= MAX_TIME_LENGTH;
  if (stored === true && (completed === undefined || isTime) && Object.keys(others).length === 0)
    return { kind: 'stored', isCompleted: isTime };
  return invalid(
    'the second argument may contain stored or completed only as the inbox writes them: stored must be true, completed must be ' +
      'a time, and there is no other field',
  );
}

function invalid(problem: string): CommandArguments {
  return { kind: 'invalid', problem };
}
