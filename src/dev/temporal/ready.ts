/**
 * Waits until a newly started Temporal server is ready for use.
 *
 * @module
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import proto from '@temporalio/proto';
import { isListening, LOOPBACK } from '../process/ports.ts';
import { describeExit, type Supervised } from '../process/supervise.ts';

const START_TIMEOUT_MS = 60_000;
const CALL_TIMEOUT_MS = 5_000;
const KEYWORD = proto.temporal.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD;

export interface Readiness {
  port: number;
  uiPort: number | null;
  namespace: string;
  searchAttributes: string[];
}

/** Rejects when the server ends, or when it is not ready after a minute. */
export async function waitUntilReady(server: Supervised, expected: Readiness): Promise<void> {
  const { port, uiPort, namespace, searchAttributes } = expected;
  const deadline = performance.now() + START_TIMEOUT_MS;
  await waitFor(server, deadline, () => isListening(port));
  if (uiPort !== null) await waitFor(server, deadline, () => isListening(uiPort));
  const connection = Connection.lazy({ address: `${LOOPBACK}:${port}` });
  const call = <Result>(work: () => Promise<Result>) =>
    connection.withDeadline(Date.now() + CALL_TIMEOUT_MS, work);
  try {
    await waitFor(server, deadline, () =>
      call(async () => {
        await connection.workflowService.describeNamespace({ namespace });
        return true;
      }),
    );
    await waitFor(server, deadline, () => call(() => register(connection, namespace, searchAttributes)));
    await waitFor(server, deadline, () => call(() => areQueryable(connection, namespace, searchAttributes)));
  } finally {
    await connection.close();
  }
}

/** The server applies `--search-attribute` only to a new database. An existing one may be from an older version. */
async function register(connection: Connection, namespace: string, names: string[]): Promise<boolean> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  const missing = names.filter((name) => customAttributes[name] === undefined);
  if (missing.length === 0) return true;
  const searchAttributes = Object.fromEntries(missing.map((name) => [name, KEYWORD]));
  await connection.operatorService.addSearchAttributes({ namespace, searchAttributes });
  return true;
}

/** The server's caches pick up a new attribute with a delay. Until then, workflow starts that use it are rejected. */
async function areQueryable(connection: Connection, namespace: string, names: string[]): Promise<boolean> {
  const query = names.map((name) => `${name} = 'x'`).join(' or ');
  if (query !== '') await connection.workflowService.countWorkflowExecutions({ namespace, query });
  return true;
}

async function waitFor(server: Supervised, deadline: number, check: () => Promise<boolean>): Promise<void> {
  for (;;) {
    if (server.exit !== undefined) throw new Error(`the server ended with ${describeExit(server.exit)}`);
    let problem = 'nothing listens on its port';
    try {
      // A call to a server that has just ended would wait for its full deadline, so the race also watches the process.
      if (await Promise.race([check(), server.exited.then(() => false)])) return;
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
    if (performance.now() > deadline) {
      throw new Error(`the server is running but not ready after ${START_TIMEOUT_MS / 1000} s: ${problem}`);
    }
    await delay(25);
  }
}
