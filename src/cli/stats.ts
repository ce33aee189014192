import type { Command } from 'commander';
import { stats } from '../operations.ts';
import { withPool } from './context.ts';
import { age, print, printJson, printTable } from './output.ts';

export function addStats(program: Command): void {
  program
    .command('stats')
    .description('entries by type and status, and open dead letters by what failed')
    .option('--json', 'JSON on stdout')
    .action(({ json }: { json?: boolean }) =>
      withPool(async (pool) => {
        const answer = await stats(pool);
        if (json) return printJson(answer);
        printTable(
          ['TYPE', 'STATUS', 'COUNT', 'OLDEST'],
          answer.entries.map((row) => [row.commandType, row.status, row.count, age(row.oldest)]),
        );
        if (answer.openDeadLetters.length === 0) return;
        print('\nOpen dead letters');
        printTable(
          ['ERROR', 'TYPE', 'COUNT', 'EXAMPLE'],
          answer.openDeadLetters.map((row) => [row.errorType, row.commandType, row.count, row.example]),
        );
      }),
    );
}
