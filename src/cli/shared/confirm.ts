/**
 * Shows which dead letters a bulk action would change, and asks for confirmation.
 *
 * @module
 */
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import type { ReplayPreview } from '../../operations/index.ts';
import { age, isJson, note, printable, tableText } from './output.ts';
import { viewOf } from './terminal.ts';

const GROUPS_SHOWN = 20;

/**
 * Shows the dead letters on stderr, because stdout is for the result. With `--json`, it only reports if no dead letter
 * matches: programs can call `inbox dead-letters groups --json`.
 */
export function showPreview({ total, oldest, newest, groups }: ReplayPreview): void {
  if (total === 0) return note('no open dead letter matches the filter');
  if (isJson()) return;
  note(`${total} open dead letters; the oldest is ${age(oldest!)} old, the newest ${age(newest!)}`);
  note(
    tableText(
      ['FAILURE GROUP', 'TYPE', 'COUNT', 'OLDEST', 'EXAMPLE', { head: 'ERROR', fit: 'cut' }],
      groups
        .slice(0, GROUPS_SHOWN)
        .map((group) => [
          group.failureGroup,
          group.commandType,
          group.count,
          age(group.oldest),
          group.example,
          group.error,
        ]),
      viewOf(process.stderr),
    ),
  );
  if (groups.length > GROUPS_SHOWN) note(`and ${groups.length - GROUPS_SHOWN} more groups`);
}

/**
 * Returns true if the action may proceed.
 *
 * @throws CommanderError with exit code 2 when `yes` is not set and there is no terminal to ask on
 */
export async function confirm(command: Command, question: string, yes: boolean): Promise<boolean> {
  if (yes) return true;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    command.error(
      'error: cannot ask for confirmation without a terminal; use --yes to proceed without asking',
      { exitCode: 2 },
    );
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${printable(question)} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}
