/**
 * The health check of the worker's container, which has neither curl nor an HTTP port. Exits with 0 if a worker on this
 * host polls the task queue, otherwise with 1.
 *
 * The check queries Temporal instead of the process, because a worker is healthy only if it receives work. Temporal lists
 * a poller for five minutes after its last poll, and a poll lasts at most a minute, so a poller counts only for 90
 * seconds here.
 *
 * @module
 */
import { hostname } from 'node:os';
import { Client, Connection } from '@temporalio/client';
import { settingsFromEnv } from '../dist/src/settings.js';
import { readTemporal } from '../dist/src/temporal/connection-config.js';
import { messageOf } from '../dist/src/platform/error-message.js';

const POLLER_COUNTS_MS = 90_000;
/** temporal.api.enums.v1.TaskQueueType */
const WORKFLOW_TASKS = 1;

async function pollersOnThisHost() {
  const { connectionOptions, namespace } = readTemporal();
  const connection = await Connection.connect({ ...connectionOptions, connectTimeout: '5s' });
  try {
    const client = new Client({ connection, namespace });
    const { pollers } = await connection.withDeadline(Date.now() + 5_000, () =>
      client.workflowService.describeTaskQueue({
        namespace,
        taskQueue: { name: settingsFromEnv().taskQueue },
        taskQueueType: WORKFLOW_TASKS,
      }),
    );
    // The SDK's default identity is pid@hostname, and each container has its own hostname.
    return pollers.filter(
      ({ identity, lastAccessTime }) =>
        identity.includes(hostname()) &&
        Date.now() - Number(lastAccessTime.seconds) * 1_000 < POLLER_COUNTS_MS,
    );
  } finally {
    await connection.close();
  }
}

try {
  const pollers = await pollersOnThisHost();
  process.exitCode = pollers.length > 0 ? 0 : 1;
  process.stdout.write(`${pollers.length} pollers on ${hostname()}\n`);
} catch (error) {
  process.exitCode = 1;
  process.stdout.write(`${messageOf(error)}\n`);
}
