/**
 * Temporal's part of `inbox doctor`.
 *
 * @module
 */
import type { Connection } from '@temporalio/client';
import type { Pool } from 'pg';
import { readSettings } from '../settings.ts';
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

/** Less, and what went wrong at night is gone before anybody has come to look. */
const SHORTEST_RETENTION_MS = 24 * 3_600_000;

type Environment = Record<string, string | undefined>;

/**
 * Without a server, or without the namespace in it, there is nothing further to ask it.
 *
 * @param pool - the inbox's database, whose workflows are looked at; null when it cannot be worked with
 */
export async function checkTemporal(
  env: Environment,
  timeoutMs: number,
  pool: Pool | null,
): Promise<Finding[]> {
  // Takes half a second to load.
  const { Client, Connection } = await import('@temporalio/client');
  let connection: Connection | undefined;
  let namespace = '';
  try {
    // The connection has the time limit, so that what is opened late does not stay open.
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
    const ask = (name: string, remedy: string, look: () => Promise<Verdict>) =>
      check(name, timeoutMs, remedy, () => open.withDeadline(Date.now() + timeoutMs, look));
    const found = await ask('namespace', DENIED, () => lookAtNamespace(open, namespace));
    if (!found.ok) return [reachable, found];
    return [
      reachable,
      found,
      ...(await Promise.all([
        ask('retention', DENIED, () => lookAtRetention(open, namespace)),
        ask('search attributes', DENIED, () => lookAtSearchAttributes(open, namespace)),
        ask('workers', DENIED, async () => {
          const inbox = pool && (await inboxIdOf(pool));
          return lookForWorkers(open, namespace, readSettings(env).taskQueue, inbox);
        }),
        ...(pool
          ? [
              check('workflows', timeoutMs * 2, DENIED, async () => {
                const { taskQueue } = readSettings(env);
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
  'check TEMPORAL_ADDRESS (host:port of the frontend, without a scheme) and the TLS settings, and that the server runs';
const DENIED = 'see that this client may ask for it: TEMPORAL_API_KEY, certificate, permissions';

async function lookAtNamespace(connection: Connection, namespace: string): Promise<Verdict> {
  try {
    await connection.workflowService.describeNamespace({ namespace });
    return healthy(`${namespace} exists`);
  } catch (error) {
    if (grpcCodeOf(error) !== GRPC.notFound) throw error;
    return unhealthy(
      `there is no namespace ${namespace}`,
      `set TEMPORAL_NAMESPACE, or: temporal operator namespace create --namespace ${shellWord(namespace) ?? '<namespace>'} --retention 72h`,
    );
  }
}

/** Entries, results and duplicates do not depend on it, as Postgres is their memory; an open dead letter's workflow neither. */
async function lookAtRetention(connection: Connection, namespace: string): Promise<Verdict> {
  const { config } = await connection.workflowService.describeNamespace({ namespace });
  const keptMs = Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) * 1_000;
  if (keptMs >= SHORTEST_RETENTION_MS) return healthy(`ended workflows are kept for ${duration(keptMs)}`);
  return unhealthy(
    `ended workflows are gone after ${duration(keptMs)}`,
    `temporal operator namespace update --namespace ${shellWord(namespace) ?? '<namespace>'} --retention 72h; until then what ended is so soon no ` +
      'longer to be seen in the Web UI, result() finds no workflow, and REJECT_DUPLICATE rejects no duplicate. Postgres ' +
      'forgets nothing: no command runs twice',
  );
}

async function lookAtSearchAttributes(connection: Connection, namespace: string): Promise<Verdict> {
  try {
    const found = describeProblems(await inspectSearchAttributes(connection, namespace), namespace);
    if (!found) return healthy('are registered');
    const meanwhile = 'workers notice within a minute; until then commands cannot be found by these';
    return unhealthy(found.problem, `${found.remedy}; ${meanwhile}`);
  } catch (error) {
    if (!isDenied(error)) throw error;
    return unhealthy(
      `could not be listed: ${messageOf(error)}`,
      'let this client list search attributes (the operator service), or register InboxStatus, CommandType, CorrelationId ' +
        'and FailureGroup as Keyword by other means; workers that cannot list them work without them',
    );
  }
}

async function lookForWorkers(
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
  const lacking = [workflow.length === 0 && 'workflow tasks', activity.length === 0 && 'activities'];
  return unhealthy(
    `nobody takes ${lacking.filter(Boolean).join(' or ')} from task queue ${taskQueue}`,
    'start `inbox worker <module>` with the same INBOX_TASK_QUEUE, TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE',
  );
}
