import type { Command } from 'commander';
import type { WorkerFlags } from './run-worker.ts';

export function addWorker(program: Command): void {
  program
    .command('worker')
    .argument('<module>', 'JavaScript module whose exports, or whose one default array, are commands')
    .option('--build-id <id>', 'release, kept with every failed attempt')
    .option(
      '--publish <publisher>',
      'also publish the outbox: nats://host:4222, or a JavaScript module whose default export is a publisher',
    )
    .description(
      'handle commands until SIGTERM or Ctrl-C; attempts in flight may finish within INBOX_SHUTDOWN_GRACE',
    )
    .action(async (module: string, flags: WorkerFlags) => {
      // Temporal's native parts take a second to load, which `inbox show` need not wait for.
      const { runWorker } = await import('./run-worker.ts');
      await runWorker(module, flags);
    });
}
