/**
 * The Temporal checks of `inbox doctor`.
 *
 * @module
 */
import type { Connection } from '@temporalio/client';
import type { Pool } from 'pg';
import { settingsFromEnv } from '../settings.ts';
import { readTemporal } from '../temporal/connection-config.ts';
import type { Finding, Verdict } from './finding.ts';
import { messageOf } from '../platform/error-message.ts';
import { unhealthy, check, duration, healthy } from './finding.ts';
import { GRPC, grpcCodeOf } from '../temporal/grpc-error.ts';
import { checkWorkflows } from './workflows.ts';
import { inboxIdOf } from '../store/inbox-id.ts';
import { describeProblems, inspectSearchAttributes } from '../temporal/search-attributes.ts';
import { shellWord } from '../core/shell.ts';
import { describeIntruders, findPollers } from '../temporal/task-queue-pollers.ts';
import { isDenied } from '../temporal/workflow-description.ts';

/** With a shorter retention, workflows that failed at night are gone before anyone looks in the morning. */
const SHORTEST_RETENTION_MS = 24 * 3_600_000;

type Environment = Record<string, string | undefined>;

/**
 * Stops after the first finding if the server or the namespace is missing.
 *
 * @param pool - the inbox's database, whose workflows are checked; null if the database is unusable
 */
export async function checkTemporal(
  env: Environment,
  timeoutMs: number,
  pool: Pool | null,
): Promise<Finding[]> {
  // Imported here because it takes half a second to load.
  const { Client, Connection } = await import('@temporalio/client');
  let connection: Connection | undefined;
  let namespace = '';
  try {
    // The connection has a separate time limit, so that a connection that opens late does not stay open.
    const reachable = await check('temporal', timeoutMs * 2, UNREACHABLE, async () => {
      const { connectionOptions, namespace: configured } = readTemporal(env);
      namespace = configured;
      const { address } = connectionOptions;
      try {
        connection = await Connection.connect({ ...connectionOptions, connectTimeout: timeoutMs });
      } catch (error) {
        return unhealthy(`no Temporal server answers at ${address}: ${messageOf(error)}`, UNREACHABLE);
      }
      const { serverVersion } = await connection.workflowService.getSystemInfo({});
      return healthy(`server ${serverVersion} answers at ${address}`);
    });
    const open = connection;
    if (!open || !reachable.ok) return [reachable];
    const checkServer = (name: string, remedy: string, query: () => Promise<Verdict>) =>
      check(name, timeoutMs, remedy, () => open.withDeadline(Date.now() + timeoutMs, query));
    const found = await checkServer('namespace', DENIED, () => checkNamespace(open, namespace));
    if (!found.ok) return [reachable, found];
    return [
      reachable,
      found,
      ...(await Promise.all([
        checkServer('retention', DENIED, () => checkRetention(open, namespace)),
        checkServer('search attributes', DENIED, () => checkSearchAttributes(open, namespace)),
        checkServer('workers', DENIED, async () => {
          const inbox = pool && (await inboxIdOf(pool));
          return checkWorkers(open, namespace, settingsFromEnv(env).taskQueue, inbox);
        }),
        ...(pool
          ? [
              check('workflows', timeoutMs * 2, DENIED, async () => {
                const { taskQueue } = settingsFromEnv(env);
                const client = new Client({ connection: open, namespace });
                return checkWorkflows(pool, { client, taskQueue, inbox: await inboxIdOf(pool) }, timeoutMs);
              }),
            ]
          : []),
      ])),
    ];
  } finally {
    await connection?.close();
  }
}

const UNREACHABLE =
  'check TEMPORAL_ADDRESS (host:port of the frontend, without a scheme) and the TLS settings, and that the server is running';
const DENIED = 'check that this client is allowed to read this: TEMPORAL_API_KEY, certificate, permissions';

async function checkNamespace(connection: Connection, namespace: string): Promise<Verdict> {
  try {
    await connection.workflowService.describeNamespace({ namespace });
    return healthy(`${namespace} exists`);
  } catch (error) {
    if (grpcCodeOf(error) !== GRPC.notFound) throw error;
    return unhealthy(
      `the namespace ${namespace} does not exist`,
      `set TEMPORAL_NAMESPACE, or create the namespace: temporal operator namespace create --namespace ${shellWord(namespace) ?? '<namespace>'} --retention 72h`,
    );
  }
}

/**
 * Entries, results and duplicate detection don't depend on the retention, because they are in Postgres. The retention
 * doesn't delete open workflows either, such as those of dead letters.
 */
async function checkRetention(connection: Connection, namespace: string): Promise<Verdict> {
  const { config } = await connection.workflowService.describeNamespace({ namespace });
  const keptMs = Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) * 1_000;
  if (keptMs >= SHORTEST_RETENTION_MS) return healthy(`closed workflows are kept for ${duration(keptMs)}`);
  return unhealthy(
    `closed workflows are deleted after ${duration(keptMs)}`,
    `temporal operator namespace update --namespace ${shellWord(namespace) ?? '<namespace>'} --retention 72h; until ` +
      'then, workflows disappear from the Web UI soon after they close, result() no longer finds them, and REJECT_DUPLICATE ' +
      'does not reject their IDs. Postgres keeps everything: no command runs twice',
  );
}

async function checkSearchAttributes(connection: Connection, namespace: string): Promise<Verdict> {
  try {
    const found = describeProblems(await inspectSearchAttributes(connection, namespace), namespace);
    if (!found) return healthy('all are registered');
    const meanwhile =
      'workers notice within a minute; until then, searches by these attributes find no commands';
    return unhealthy(found.problem, `${found.remedy}; ${meanwhile}`);
  } catch (error) {
    if (!isDenied(error)) throw error;
    return unhealthy(
      `could not be listed: ${messageOf(error)}`,
      'let this client list search attributes (the operator service), or register InboxStatus, CommandType, CorrelationId ' +
        'and FailureGroup as Keyword in another way; workers that cannot list search attributes run without them',
    );
  }
}

async function checkWorkers(
  connection: Connection,
  namespace: string,
  taskQueue: string,
  inbox: string | null,
): Promise<Verdict> {
  const pollers = await findPollers(connection, namespace, taskQueue, inbox);
  const { workflow, activity } = pollers;
  const intruders = describeIntruders(pollers, taskQueue);
  if (intruders) return unhealthy(intruders.problem, intruders.remedy);
  if (workflow.length > 0 && activity.length > 0)
    return healthy(
      `${workflow.length} polled task queue ${taskQueue} in the last 90 s: ${workflow.join(', ')}`,
    );
  const missing = [workflow.length === 0 && 'workflow tasks', activity.length === 0 && 'activities'];
  return unhealthy(
    `no worker takes ${missing.filter(Boolean).join(' or ')} from task queue ${taskQueue}`,
    'start `inbox worker <module>` with the same INBOX_TASK_QUEUE, TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE',
  );
}
