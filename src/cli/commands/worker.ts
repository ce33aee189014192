import type { Command } from 'commander';
import { reportToSupervisor } from '../worker/heartbeat.ts';
import type { WorkerFlags } from '../worker/run-worker.ts';
import { superviseWorker } from '../worker/supervise.ts';

export function addWorker(program: Command): void {
  program
    .command('worker')
    .argument('<module>', 'JavaScript module whose exports, or whose one default array, are commands')
    .option('--build-id <id>', 'release, kept with every failed attempt')
    .option(
      '--publish <publisher>',
      'also publish the outbox: nats://host:4222, or a JavaScript module whose default export is a publisher',
    )
    .option('--supervise', 'run it in a child process: back by itself after a crash, killed when it hangs')
    .description(
      'handle commands until SIGTERM or Ctrl-C; attempts in flight may finish within INBOX_SHUTDOWN_GRACE',
    )
    .action(async (module: string, { supervise, ...flags }: WorkerFlags & { supervise?: boolean }) => {
      if (supervise) {
        process.exitCode = await superviseWorker(
          process.argv.slice(2).filter((arg) => arg !== '--supervise'),
        );
        return;
      }
      const supervision = reportToSupervisor();
      try {
        // Temporal's native parts take a second to load, which `inbox show` need not wait for.
        const { runWorker } = await import('../worker/run-worker.ts');
        await runWorker(module, flags, () => supervision.working());
      } catch (error) {
        await supervision.failed(error);
        throw error;
      }
    });
}
