/** Test inboxes on servers with limits: a login without rights, a given namespace, and what killed tests have left. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Connection } from '@temporalio/client';
import { ConfigurationError, UnreachableError } from '../../../src/core/errors.ts';
import { createTestInbox } from '../../../src/testing/index.ts';
import { createNamespace, deleteNamespace } from '../../../src/testing/test-namespace.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestInbox as createOtherInbox } from '../../support/inbox.ts';
import type { TestInbox as OtherInbox } from '../../support/inbox.ts';
import { rows } from '../../support/rows.ts';
import { createStock, reserveStock, shipOrder } from '../../support/test-commands.ts';
import { eventually } from '../../support/wait.ts';

const commands = [reserveStock, shipOrder];

/** Runs work with these variables in the environment. */
async function withEnvironment<T>(variables: Record<string, string>, work: () => Promise<T>): Promise<T> {
  const earlier = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, variables);
  try {
    return await work();
  } finally {
    for (const [name, value] of earlier) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

function nameOfHoursAgo(hours: number): string {
  const created = (Date.now() - hours * 3_600_000).toString(36);
  return `inbox_testing_${created}_${randomBytes(6).toString('hex')}`;
}

describe('createTestInbox on servers that exist', () => {
  let database: TestDatabase;
  let other: OtherInbox;

  before(async () => {
    database = await createTestDatabase('empty');
    other = await createOtherInbox();
  });
  after(async () => {
    await other.close();
    await database.drop();
  });

  it('says what is missing if the login may not create databases', async () => {
    const login = `plain_${randomBytes(4).toString('hex')}`;
    await database.pool.query(`create role ${login} login password 'secret-word'`);
    const url = new URL(database.url);
    url.username = login;
    url.password = 'secret-word';
    await withEnvironment({ DATABASE_URL: url.href }, () =>
      assert.rejects(createTestInbox({ commands }), (error) => {
        assert.ok(error instanceof ConfigurationError, String(error));
        assert.match(error.message, /the login in DATABASE_URL may not: run `alter role <login> createdb`/);
        assert.ok(!error.message.includes('secret-word'));
        return true;
      }),
    );
    await database.pool.query(`alter role ${login} createdb`);
    const test = await withEnvironment({ DATABASE_URL: url.href }, () => createTestInbox({ commands }));
    await createStock(test.pool);
    const message = { messageId: 'order-1', payload: { sku: 'tea', quantity: 2 } };
    assert.deepEqual(await test.execute(reserveStock, message), { free: 8 });
    await test.close();
    await database.pool.query(`drop role ${login}`);
  });

  it('uses the namespace that TEMPORAL_NAMESPACE names, and leaves no open workflow in it', async () => {
    const messageId = `lost-${randomBytes(4).toString('hex')}`;
    const test = await withEnvironment({ TEMPORAL_NAMESPACE: 'default' }, () =>
      createTestInbox({ commands }),
    );
    assert.equal(test.client.options.namespace, 'default');
    await test.send(shipOrder, { messageId, payload: { orderId: 'lost' } });
    await test.reaches(messageId, 'DeadLetter');
    const handle = other.client.workflow.getHandle(messageId);
    await eventually('the workflow is listed', async () => {
      const query = `TaskQueue = '${test.taskQueue}' and ExecutionStatus = 'Running'`;
      for await (const { workflowId } of other.client.workflow.list({ query }))
        return workflowId === messageId;
      return false;
    });
    await test.close();
    assert.equal((await handle.describe()).status.name, 'TERMINATED');
  });

  it('drops the databases and the namespaces that killed tests have left more than a day ago', async () => {
    const [old, young] = [nameOfHoursAgo(25), nameOfHoursAgo(23)];
    for (const name of [old, young]) await database.pool.query(`create database ${name} template template0`);
    const connection = await Connection.connect({ address: process.env['TEMPORAL_ADDRESS']! });
    const namespaces = [old, young].map((name) => name.replaceAll('_', '-'));
    for (const namespace of namespaces) assert.ok(await createNamespace(connection, namespace));

    const test = await createTestInbox({ commands });
    await eventually('the old namespace is deleted', async () => {
      const { namespaces: listed } = await connection.workflowService.listNamespaces({ pageSize: 1_000 });
      const names = listed.map(({ namespaceInfo }) => namespaceInfo?.name);
      assert.ok(names.includes(namespaces[1]));
      return !names.includes(namespaces[0]);
    });
    await test.close();
    const sql = 'select datname from pg_database where datname = any ($1)';
    assert.deepEqual(await rows(database.pool, sql, [[old, young]]), [{ datname: young }]);
    await database.pool.query(`drop database ${young}`);
    await deleteNamespace(connection, namespaces[1]!);
    await connection.close();
  });

  it('says which server does not answer, and leaves no database', async () => {
    await withEnvironment({ TEMPORAL_ADDRESS: '127.0.0.1:1' }, () =>
      assert.rejects(createTestInbox({ commands }), (error) => {
        assert.ok(error instanceof UnreachableError, String(error));
        assert.match(error.message, /Temporal at 127\.0\.0\.1:1 does not answer/);
        return true;
      }),
    );
    await withEnvironment({ DATABASE_URL: 'mysql://host/database' }, () =>
      assert.rejects(createTestInbox({ commands }), ConfigurationError),
    );
  });
});
