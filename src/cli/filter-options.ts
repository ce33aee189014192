/**
 * The options that choose open dead letters.
 *
 * @module
 */
import type { Command } from 'commander';
import type { DeadLetterFilter } from '../store/dead-letter-filter.ts';

export interface FilterOptions {
  group?: string;
  type?: string;
}

export function filterOptions(command: Command): Command {
  return command
    .option('--group <failure-group>', 'those with the same cause, such as Pay/AccountClosed/1a2b3c4d')
    .option('--type <type>', 'those of this command type');
}

/** Null where none is given. */
export function filterOf({ group, type }: FilterOptions): DeadLetterFilter | null {
  if (group === undefined && type === undefined) return null;
  return {
    ...(group !== undefined && { failureGroup: group }),
    ...(type !== undefined && { commandType: type }),
  };
}
