import type { Command } from 'commander';
import { show } from '../operations.ts';
import type { EntryStory } from '../operations.ts';
import { withPool } from './context.ts';
import { print, printable, printFields, printJson, printTable } from './output.ts';

export function addShow(program: Command): void {
  program
    .command('show')
    .argument('<message-id>')
    .description(
      "an entry's whole story: the entry, its failed attempts, its dead letters, what operators did",
    )
    .option('--stack', 'with the stacks of the failures')
    .option('--json', 'JSON on stdout')
    .action((messageId: string, options: { stack?: boolean; json?: boolean }) =>
      withPool(async (pool) => {
        const story = await show(pool, messageId);
        if (options.json) printJson(story);
        else printStory(story, options.stack ?? false);
      }),
    );
}

function printStory({ entry, failures, deadLetters, audit }: EntryStory, withStacks: boolean): void {
  printFields([
    ['message id', entry.messageId],
    ['command type', entry.commandType],
    ['status', entry.status],
    ['received', entry.receivedAt],
    ['processed', entry.processedAt],
    [
      'pruned',
      entry.prunedAt && `${entry.prunedAt.toISOString()}: payload, metadata, result and texts of failures`,
    ],
    ['next retry', entry.nextRetryAt],
    ['attempts started', entry.attempt],
    [
      'failed attempts',
      `${entry.retryCount}${entry.generation > 0 ? ` since replay ${entry.generation}` : ''}`,
    ],
    ['error', entry.error],
    ['correlation id', entry.correlationId],
    ['causation id', entry.causationId],
    ['metadata', entry.prunedAt ? null : entry.metadata],
    ['payload', entry.payload],
    ['result', entry.status === 'Completed' ? entry.result : null],
  ]);
  if (failures.length > 0) {
    print('\nFailed attempts');
    printTable(
      ['ATTEMPT', 'REPLAY', 'AT', 'ERROR', 'NEXT RETRY'],
      failures.map((failure) => [
        failure.attempt,
        failure.generation,
        failure.failedAt,
        failure.error,
        failure.nextRetryAt ?? (failure.retryable ? 'attempts used up' : 'unrecoverable'),
      ]),
    );
    if (withStacks)
      for (const { attempt, stack } of failures) if (stack) print(`\nattempt ${attempt}:\n${indent(stack)}`);
  }
  if (deadLetters.length > 0) {
    print('\nDead letters');
    printTable(
      ['REPLAY', 'DEAD SINCE', 'REASON', 'ERROR', 'RESOLVED'],
      deadLetters.map((letter) => [
        letter.generation,
        letter.deadAt,
        letter.reason,
        letter.error,
        letter.resolution
          ? `${letter.resolution} by ${letter.resolvedBy} at ${letter.resolvedAt?.toISOString()}`
          : 'open',
      ]),
    );
  }
  if (audit.length > 0) {
    print('\nWhat operators did');
    printTable(
      ['AT', 'ACTION', 'ACTOR', 'REASON'],
      audit.map((line) => [line.at, line.action, line.actor, line.reason]),
    );
  }
}

/** Stacks keep their lines; each is cleaned like any other text. */
function indent(stack: string): string {
  return stack
    .split('\n')
    .map((line) => `  ${printable(line)}`)
    .join('\n');
}
