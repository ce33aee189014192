/**
 * Search attributes that are missing, have the wrong type, or cannot be listed. Everything else must still work.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Client } from '@temporalio/client';
import type { Connection } from '@temporalio/client';
import { msToTs } from '@temporalio/common/lib/time.js';
import { readTemporal } from '../../../src/temporal/connection-config.ts';
import { LiveSearchAttributes } from '../../../src/temporal/live-search-attributes.ts';
import { createLog } from '../../../src/platform/log.ts';
import { SEARCH_ATTRIBUTES } from '../../../src/core/protocol.ts';
import {
  ALL_ATTRIBUTES,
  inspectSearchAttributes,
  registerSearchAttributes,
} from '../../../src/temporal/search-attributes.ts';
import type { OperatorConnection } from '../../../src/temporal/search-attributes.ts';
import { startEntry } from '../../../src/temporal/start-workflow.ts';
import { createCli } from '../../support/cli.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

/** temporal.api.enums.v1.IndexedValueType */
const TEXT = 1;

describe('search attributes', () => {
  let fixture: TestInbox;
  let connection: Connection;
  const namespaces: string[] = [];

  before(async () => {
    fixture = await createTestInbox();
    connection = fixture.client.connection as Connection;
  });
  after(async () => {
    for (const namespace of namespaces) await connection.operatorService.deleteNamespace({ namespace });
    await fixture.close();
  });

  async function newNamespace(): Promise<string> {
    const namespace = `attributes-${randomBytes(4).toString('hex')}`;
    await connection.workflowService.registerNamespace({
      namespace,
      workflowExecutionRetentionPeriod: msToTs('1 day'),
    });
    namespaces.push(namespace);
    await eventually('the server knows the namespace', () =>
      inspectSearchAttributes(connection, namespace).then(() => true),
    );
    return namespace;
  }

  async function newNamespaceWithTextAttribute(): Promise<string> {
    const namespace = await newNamespace();
    const searchAttributes = { [SEARCH_ATTRIBUTES.correlationId]: TEXT };
    await eventually('the attribute can be registered', () =>
      connection.operatorService.addSearchAttributes({ namespace, searchAttributes }).then(() => true),
    );
    await eventually(
      'the attribute is listed',
      async () => (await inspectSearchAttributes(connection, namespace)).conflicting.length === 1,
    );
    return namespace;
  }

  it('with the wrong type make setup fail, but it registers the others and names the conflict', async () => {
    const namespace = await newNamespaceWithTextAttribute();
    const cli = createCli(fixture);
    for (const run of ['first', 'second']) {
      const { code, stdout, stderr } = await cli.run(['setup'], { TEMPORAL_NAMESPACE: namespace });
      assert.equal(code, 1, run);
      assert.doesNotMatch(stdout, /registered:.*CorrelationId/);
      if (run === 'first') assert.match(stderr, /registered: InboxStatus, CommandType, FailureGroup/);
      assert.match(stderr, /CorrelationId is registered as Text, but the inbox needs Keyword/);
      assert.match(stderr, /search-attribute remove .*--name CorrelationId/);
    }
    const { usable, conflicting } = await inspectSearchAttributes(connection, namespace);
    assert.deepEqual(usable.toSorted(), ['CommandType', 'FailureGroup', 'InboxStatus']);
    assert.deepEqual(conflicting, [{ name: 'CorrelationId', type: 'Text' }]);
    const { stdout } = await cli.run(['doctor'], { TEMPORAL_NAMESPACE: namespace });
    assert.match(stdout, /CorrelationId is registered as Text/);
  });

  it('are registered by setups that run at the same time', async () => {
    const namespace = await newNamespace();
    const results = await Promise.all([1, 2, 3].map(() => registerSearchAttributes(connection, namespace)));
    for (const { missing, conflicting, error } of results)
      assert.deepEqual([missing, conflicting, error], [[], [], null]);
  });

  it('that a worker may not list do not stop it, and are checked again', async () => {
    const lines: string[] = [];
    let isDenied = true;
    const denied = Object.assign(new Error('7 PERMISSION_DENIED: Request unauthorized.'), {
      code: 7,
      details: 'Request unauthorized.',
      metadata: {},
    });
    const limited: OperatorConnection = {
      operatorService: new Proxy(connection.operatorService, {
        get: (service, name) =>
          name === 'listSearchAttributes' && isDenied
            ? () => Promise.reject(denied)
            : (Reflect.get(service, name) as unknown),
      }),
      withDeadline: (deadline, work) => connection.withDeadline(deadline, work),
    };
    const { namespace } = readTemporal();
    const attributes = new LiveSearchAttributes({
      connection: limited,
      namespace,
      log: createLog('info', (line) => lines.push(line)),
    });
    await attributes.look();
    await attributes.look();
    assert.deepEqual(attributes.list(), []);
    assert.equal(lines.length, 1, 'logged once');
    assert.match(lines[0]!, /could not list the search attributes: .*PERMISSION_DENIED/);
    isDenied = false;
    await attributes.look();
    assert.deepEqual(attributes.list(), Object.values(SEARCH_ATTRIBUTES));
    assert.match(lines[1]!, /all search attributes are usable/);
  });

  it('that make Temporal refuse a start are left out', async () => {
    const namespace = await newNamespace();
    const client = new Client({ connection, namespace });
    const refusals: unknown[] = [];
    const searchAttributes = {
      has: (name: string) => ALL_ATTRIBUTES.has(name),
      refused: (error: unknown) => void refusals.push(error),
    };
    const entry = { messageId: fixture.id('refused'), commandType: 'Note', correlationId: 'flow' };
    const { taskQueue, typedWorkflows } = fixture;
    const starter = { client, taskQueue, typedWorkflows, searchAttributes, eager: false };
    assert.equal(await startEntry(starter, entry), 'queued');
    assert.equal(refusals.length, 1);
    await client.workflow.getHandle(entry.messageId).terminate('the test is over');
  });
});
