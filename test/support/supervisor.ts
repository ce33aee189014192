/**
 * Starts `inbox worker --supervise` with the commands of poison-commands.ts.
 *
 * @module
 */
import { fileURLToPath } from 'node:url';
import { startCli } from './cli.ts';
import type { CliEnvironment, CliProcess } from './cli.ts';
import type { TestInbox } from './inbox.ts';

export const POISON_COMMANDS = fileURLToPath(new URL('./poison-commands.js', import.meta.url));

/**
 * The worker runs its workflows in its main thread (see worker-process.ts). The result resolves when neither the supervisor
 * nor a worker has stderr open.
 */
export function startSupervisor(
  inbox: TestInbox,
  more: CliEnvironment = {},
  module = POISON_COMMANDS,
): CliProcess {
  const env = {
    DATABASE_URL: inbox.database.url,
    INBOX_TASK_QUEUE: inbox.taskQueue,
    TEMPORAL_DEBUG: '1',
    ...more,
  };
  return startCli(['worker', module, '--supervise'], env);
}
