/**
 * The Temporal namespace of one test inbox. Workflow IDs are message ids, so two test inboxes in one namespace could not use
 * the same message ids.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { GRPC, grpcCodeOf } from '../temporal/grpc-error.ts';
import { withinLimit } from '../temporal/answer-limit.ts';
import { registerSearchAttributes } from '../temporal/search-attributes.ts';
import { dashed, isLeftover, TEST_PREFIX } from './test-name.ts';

/** How long it may take until all parts of the server know a new namespace, in ms. */
const READY_LIMIT_MS = 30_000;
/** The shortest time that Temporal accepts for keeping closed workflows. */
const RETENTION = '1 day';

/** The errors of a server that does not let this client create namespaces, such as Temporal Cloud. */
const REFUSALS: readonly unknown[] = [GRPC.permissionDenied, GRPC.unauthenticated, GRPC.unimplemented];

/**
 * Creates a namespace with the inbox's search attributes.
 *
 * @returns false if the server refuses to create namespaces
 */
export async function createNamespace(connection: Connection, namespace: string): Promise<boolean> {
  try {
    await withinLimit(
      'the registration of a namespace',
      () =>
        connection.workflowService.registerNamespace({
          namespace,
          description: 'created by a test',
          workflowExecutionRetentionPeriod: msToTs(RETENTION),
        }),
      { client: connection },
    );
  } catch (error) {
    if (REFUSALS.includes(grpcCodeOf(error))) return false;
    throw error;
  }
  await onceKnown(() => connection.workflowService.describeNamespace({ namespace }));
  await onceKnown(() => registerSearchAttributes(connection, namespace));
  return true;
}

/** Retries while a part of the server does not know the namespace yet. */
async function onceKnown(call: () => Promise<unknown>): Promise<void> {
  const deadline = Date.now() + READY_LIMIT_MS;
  for (;;) {
    try {
      await call();
      return;
    } catch (error) {
      if (grpcCodeOf(error) !== GRPC.notFound || Date.now() > deadline) throw error;
      await sleep(50);
    }
  }
}

/** Deletes the namespace with its workflows. The server does so in the background. */
export async function deleteNamespace(connection: Connection, namespace: string): Promise<void> {
  await withinLimit(
    'the deletion of a namespace',
    () => connection.operatorService.deleteNamespace({ namespace }),
    { client: connection },
  );
}

/** Deletes the namespaces that killed test processes have left on the server more than a day ago. */
export async function deleteLeftovers(connection: Connection): Promise<void> {
  const prefix = dashed(TEST_PREFIX);
  const { namespaces } = await connection.workflowService.listNamespaces({ pageSize: 1_000 });
  const names = namespaces.map(({ namespaceInfo }) => namespaceInfo?.name ?? '');
  for (const name of names.filter((each) => each.startsWith(prefix) && isLeftover(each)))
    await deleteNamespace(connection, name).catch(() => {});
}

/**
 * Terminates the workflows of a task queue. Without a worker, they would stay open in a namespace that others use.
 *
 * It lists them without `client.workflow.list`, which decodes the memo of each workflow and throws if a memo was encrypted by
 * another client.
 */
export async function terminateWorkflows(client: Client, taskQueue: string): Promise<void> {
  const { namespace } = client.options;
  const query = `TaskQueue = '${taskQueue}' and ExecutionStatus = 'Running'`;
  let nextPageToken = new Uint8Array();
  do {
    const page = await client.workflowService.listWorkflowExecutions({ namespace, query, nextPageToken });
    for (const { execution } of page.executions) {
      const terminating = client.workflow
        .getHandle(execution?.workflowId ?? '')
        .terminate('the test has ended');
      await terminating.catch(() => {});
    }
    nextPageToken = new Uint8Array(page.nextPageToken);
  } while (nextPageToken.length > 0);
}
