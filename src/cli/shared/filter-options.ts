/**
 * Options that filter dead letters.
 *
 * @module
 */
import type { Command } from 'commander';
import type { DeadLetterFilter } from '../../operations/index.ts';
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

/** For `--help`, where a command takes either message ids or the filters below. */
export const MESSAGE_IDS_HELP = 'Message ids of dead letters; leave them out to use filters';

export function filterOptions(command: Command): Command {
  return command
    .option(
      '--group <failure-group>',
      'Only dead letters of this failure group, such as Pay/AccountClosed/1a2b3c4d',
    )
    .option('--type <type>', 'Only dead letters of this command type')
    .option('--error-type <type>', 'Only dead letters with this error type')
    .option(
      '--since <when>',
      `Only messages that became dead letters at or after this time: ${WHEN}`,
      parseWhen,
    )
    .option(
      '--until <when>',
      'Only messages that became dead letters before this time, in the same format as --since',
      parseWhen,
    )
    .option('--correlation <id>', 'Only dead letters with this correlation_id')
    .option('--text <part>', 'Only dead letters whose error contains this text, ignoring case');
}

/** Null when no filter option is given. */
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

/**
 * Returns the filter, or null when message ids are given. Exactly one of the two is required: without either, the command
 * would apply to every dead letter.
 */
export function chosenBy(
  command: Command,
  messageIds: readonly string[],
  options: FilterOptions,
): DeadLetterFilter | null {
  const filter = filterOf(options);
  if ((filter === null) === (messageIds.length === 0)) {
    command.error(`error: ${command.name()} takes either message ids or filters such as --group and --type`, {
      exitCode: 2,
    });
  }
  return filter;
}
