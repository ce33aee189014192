/**
 * The options that choose dead letters.
 *
 * @module
 */
import type { Command } from 'commander';
import type { DeadLetterFilter } from '../../store/dead-letter-filter.ts';
import { parseWhen, WHEN } from './option-values.ts';

export interface FilterOptions {
  group?: string;
  type?: string;
  errorType?: string;
  since?: Date;
  until?: Date;
  correlation?: string;
  text?: string;
}

export function filterOptions(command: Command): Command {
  return command
    .option('--group <failure-group>', 'those with the same cause, such as Pay/AccountClosed/1a2b3c4d')
    .option('--type <type>', 'those of this command type')
    .option('--error-type <type>', 'those that failed with this type of error')
    .option('--since <when>', `those that died at or after: ${WHEN}`, parseWhen)
    .option('--until <when>', 'those that died before', parseWhen)
    .option('--correlation <id>', 'those of one flow')
    .option('--text <part>', 'those whose error has this in it');
}

/** Null where none is given. */
export function filterOf(options: FilterOptions): DeadLetterFilter | null {
  const { group, type, errorType, since, until, correlation, text } = options;
  const filter: DeadLetterFilter = {
    ...(group !== undefined && { failureGroup: group }),
    ...(type !== undefined && { commandType: type }),
    ...(errorType !== undefined && { errorType }),
    ...(since !== undefined && { since }),
    ...(until !== undefined && { until }),
    ...(correlation !== undefined && { correlationId: correlation }),
    ...(text !== undefined && { text }),
  };
  return Object.keys(filter).length === 0 ? null : filter;
}

/** The filter, or null for message ids. Never neither: that would be all of them. */
export function chosenBy(
  command: Command,
  messageIds: readonly string[],
  options: FilterOptions,
): DeadLetterFilter | null {
  const filter = filterOf(options);
  if ((filter === null) === (messageIds.length === 0)) {
    command.error(`error: ${command.name()} takes message ids, or options that choose dead letters`, {
      exitCode: 2,
    });
  }
  return filter;
}
