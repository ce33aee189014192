import type { Command } from 'commander';
import { withWorkerPackage } from '../worker/worker-package.ts';

export function addDev(program: Command): void {
  program
    .command('dev')
    .argument(
      '[module]',
      'JavaScript module that exports commands; also runs a worker for them (default: no worker)',
    )
    .option(
      '--dir <folder>',
      'Folder for the data of the servers (default: ~/.local/share/temporal-inbox/dev, or its equivalent on this system)',
    )
    .description('Run Postgres, Temporal and its Web UI for local development, until Ctrl-C')
    .action(async (module: string | undefined, { dir }: { dir?: string }) => {
      const { runDev } = await withWorkerPackage(() => import('../worker/run-dev.ts'));
      await runDev(module, dir);
    });
}
