/**
 * Exit 0 when a worker on this host polls the task queue, 1 otherwise: the health check of the worker's container,
 * which has neither curl nor an HTTP port.
 *
 * It asks Temporal, not the process: what counts is that work would be taken. Temporal forgets a poller five minutes
 * after it last called, and a poll lasts a minute at most, so a poller counts for 90 seconds here.
 *
 * @module
 */
import { hostname } from 'node:os';
import { Client, Connection } from '@temporalio/client';
import { readSettings, readTemporal } from '../dist/src/settings.js';
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
        taskQueue: { name: readSettings().taskQueue },
        taskQueueType: WORKFLOW_TASKS,
      }),
    );
    // The SDK's default identity is pid@hostname; a container's hostname is its own.
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
