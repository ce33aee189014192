import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { parseHttpAddress } from '../telemetry/http-address.ts';
import type { HttpAddress } from '../telemetry/http-address.ts';
import { reportToSupervisor } from '../worker/heartbeat.ts';
import type { WorkerFlags } from '../worker/run-worker.ts';
import { withWorkerPackage } from '../worker/worker-package.ts';
import { superviseWorker } from '../worker/supervise.ts';

/** Called by Commander. */
function readAddress(text: string): HttpAddress {
  const address = parseHttpAddress(text);
  if (address !== null) return address;
  throw new InvalidArgumentError('Give a port, such as 9464, or a host and a port, such as 0.0.0.0:9464.');
}

export function addWorker(program: Command): void {
  program
    .command('worker')
    .argument(
      '<module>',
      'JavaScript module that exports commands, or an array of commands as its default export',
    )
    .option(
      '--build-id <id>',
      'Release to record with every failed attempt (default: TEMPORAL_WORKER_BUILD_ID, or none)',
    )
    .option(
      '--deployment <name>',
      "Deployment name for Temporal's worker versioning; needs a build id (default: TEMPORAL_DEPLOYMENT_NAME, or no versioning)",
    )
    .option(
      '--publish <publisher>',
      'Also publish the outbox: nats://host:4222, tls://host:4222, or a JavaScript module whose default export is a publisher (default: do not publish)',
    )
    .option(
      '--http <address>',
      'Serve /metrics, /livez and /readyz on this port, or host and port, such as 9464 or 0.0.0.0:9464 (default: INBOX_HTTP, or off)',
      readAddress,
    )
    .option(
      '--supervise',
      'Run the worker in a child process that is restarted when it crashes, or hangs for INBOX_WATCHDOG (30s by default)',
    )
    .description(
      'Run a worker until SIGTERM or Ctrl-C; running attempts then have INBOX_SHUTDOWN_GRACE (20s by default) to finish',
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
        // Temporal's native modules take a second to load. Other commands, such as `inbox show`, don't load them.
        const { runWorker } = await withWorkerPackage(() => import('../worker/run-worker.ts'));
        await runWorker(module, flags, () => supervision.working());
      } catch (error) {
        await supervision.failed(error);
        throw error;
      }
    });
}
