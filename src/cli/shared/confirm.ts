/**
 * Asks before something is done to many dead letters, and shows to which.
 *
 * @module
 */
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import type { ReplayPreview } from '../../operations/index.ts';
import { age, isJson, note, printable, tableText } from './output.ts';
import { viewOf } from './terminal.ts';

const GROUPS_SHOWN = 20;

/** What would be done, on stderr: stdout is for the answer. A program has `inbox dead-letters groups --json` for it. */
export function showPreview({ total, oldest, newest, groups }: ReplayPreview): void {
  if (total === 0) return note('no open dead letter fits the filter');
  if (isJson()) return;
  note(`${total} open dead letters, the oldest ${age(oldest!)} and the newest ${age(newest!)} old`);
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
  if (groups.length > GROUPS_SHOWN) note(`and ${groups.length - GROUPS_SHOWN} groups more`);
}

/**
 * True when it may be done.
 *
 * @throws CommanderError of exit code 2 where there is nobody to ask and nobody has said yes
 */
export async function confirm(command: Command, question: string, yes: boolean): Promise<boolean> {
  if (yes) return true;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    command.error('error: this is no terminal to ask on: --yes does it without asking', { exitCode: 2 });
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${printable(question)} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}
