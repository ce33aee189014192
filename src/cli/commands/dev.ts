import type { Command } from 'commander';

export function addDev(program: Command): void {
  program
    .command('dev')
    .argument('[module]', 'also run a worker with the commands of this module')
    .option('--dir <folder>', 'where the servers keep their data')
    .description('embedded Postgres and Temporal with its Web UI, migrated and ready, until Ctrl-C')
    .action(async (module: string | undefined, { dir }: { dir?: string }) => {
      const { runDev } = await import('../worker/run-dev.ts');
      await runDev(module, dir);
    });
}
