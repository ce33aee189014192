import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Client, Connection } from '@temporalio/client';
import type { Payload, PayloadCodec } from '@temporalio/common';
import { NativeConnection } from '@temporalio/worker';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { ConfigurationError, UnrecoverableError } from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { readInboxId } from '../../../src/store/identity.ts';
import { discardCommand, replayCommand, startCommand } from '../../../src/temporal/client-commands.ts';
import { readTemporal } from '../../../src/temporal/connection-config.ts';
import type { WorkerInterceptors } from '../../../src/temporal/sdk-options.ts';
import { describeWorkflow } from '../../../src/temporal/workflow-description.ts';
import { createInboxWorker } from '../../../src/worker.ts';
import type { InboxWorker, InboxWorkerOptions } from '../../../src/worker.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const SECRET = 'marker-4711';
const ENCODING = 'binary/encrypted';

/** Encrypts everything with AES-256-GCM, as the samples of Temporal's SDK do. */
function encryption(): PayloadCodec {
  const key = randomBytes(32);
  return {
    encode: async (payloads) =>
      payloads.map((payload) => {
        const iv = randomBytes(12);
        const cipher = createCipheriv('aes-256-gcm', key, iv);
        const text = JSON.stringify({
          metadata: Object.entries(payload.metadata ?? {}).map(([name, value]) => [
            name,
            Buffer.from(value).toString('base64'),
          ]),
          data: Buffer.from(payload.data ?? []).toString('base64'),
        });
        const data = Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
        return { metadata: { encoding: Buffer.from(ENCODING) }, data };
      }),
    decode: async (payloads) =>
      payloads.map((payload) => {
        if (Buffer.from(payload.metadata?.['encoding'] ?? []).toString() !== ENCODING) return payload;
        const bytes = Buffer.from(payload.data!);
        const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12));
        decipher.setAuthTag(bytes.subarray(-16));
        const text = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]).toString();
        const { metadata, data } = JSON.parse(text) as { metadata: [string, string][]; data: string };
        return {
          metadata: Object.fromEntries(metadata.map(([name, value]) => [name, Buffer.from(value, 'base64')])),
          data: Buffer.from(data, 'base64'),
        } satisfies Payload;
      }),
  };
}

const schema = z.object({
  secret: z.string(),
  fails: z.enum(['never', 'once', 'until replayed']).default('never'),
});
const retry = { maximumAttempts: 3, initialInterval: 1 };
const define = <Type extends string>(type: Type, options: object) =>
  defineCommand({
    type,
    schema,
    retry,
    ...options,
    handle({ payload, attempt, generation }) {
      if (payload.fails === 'once' && attempt === 1) throw new Error(`failed with ${payload.secret}`);
      if (payload.fails === 'until replayed' && generation === 0)
        throw new UnrecoverableError('Refused', { secret: payload.secret });
      return { echo: payload.secret };
    },
  });
const keep = define('Keep', {});
const keepRecorded = define('KeepRecorded', { express: 'recorded' });

/** Runs a worker on a connection of its own, as a service would. */
async function startWorker(
  fixture: TestInbox,
  options: Partial<InboxWorkerOptions>,
): Promise<() => Promise<void>> {
  const { connectionOptions, namespace } = readTemporal();
  const connection = await NativeConnection.connect(connectionOptions);
  let worker: InboxWorker;
  process.env['TEMPORAL_DEBUG'] = '1';
  try {
    worker = await createInboxWorker({
      commands: [keep, keepRecorded],
      databaseUrl: fixture.database.url,
      connection,
      namespace,
      settings: { taskQueue: fixture.taskQueue },
      log: { debug() {}, info() {}, warn() {}, error() {} },
      ...options,
    });
  } catch (error) {
    await connection.close();
    throw error;
  } finally {
    delete process.env['TEMPORAL_DEBUG'];
  }
  const running = worker.run();
  return async () => {
    await worker.close();
    await running;
    await connection.close();
  };
}

describe('a worker with a payload codec', () => {
  const dataConverter = { payloadCodecs: [encryption()] };
  let fixture: TestInbox;
  let inbox: Inbox;
  let connection: Connection;
  let client: Client;
  let stop: () => Promise<void>;
  const intercepted = { activities: [] as string[], starts: [] as string[] };
  const interceptors: WorkerInterceptors = {
    activity: [
      ({ info }) => ({
        inbound: {
          execute(input, next) {
            intercepted.activities.push(`${info.activityType} ${info.workflowExecution?.workflowId}`);
            return next(input);
          },
        },
      }),
    ],
    client: {
      workflow: [
        {
          startWithDetails(input, next) {
            intercepted.starts.push(input.options.workflowId);
            return next(input);
          },
        },
      ],
    },
  };

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
    const { connectionOptions, namespace } = readTemporal();
    connection = await Connection.connect(connectionOptions);
    client = new Client({ connection, namespace, dataConverter });
    stop = await startWorker(fixture, { dataConverter, interceptors });
  });
  after(async () => {
    await stop?.();
    await connection?.close();
    await inbox?.close();
    await fixture.close();
  });

  /** All bytes that Temporal has stored about a workflow's history. */
  async function history(messageId: string): Promise<string> {
    const { history: found } = await client.workflowService.getWorkflowExecutionHistory({
      namespace: client.options.namespace,
      execution: { workflowId: messageId },
    });
    const strings: string[] = [];
    const collect = (value: unknown): void => {
      if (value instanceof Uint8Array) strings.push(Buffer.from(value).toString('latin1'));
      else if (typeof value === 'string') strings.push(value);
      else if (typeof value === 'object' && value !== null) Object.values(value).forEach(collect);
    };
    collect(found?.events);
    return strings.join('\n');
  }

  it('handles commands that are sent, started by a client, retried and recorded, and Temporal sees no payload', async () => {
    const sent = fixture.id('sent');
    assert.deepEqual(await inbox.execute(keep, { messageId: sent, payload: { secret: SECRET } }), {
      echo: SECRET,
    });
    const retried = fixture.id('retried');
    await inbox.execute(keep, { messageId: retried, payload: { secret: SECRET, fails: 'once' } });
    const started = fixture.id('started');
    const options = { taskQueue: fixture.taskQueue };
    const handle = await startCommand(
      client,
      keep,
      { messageId: started, payload: { secret: SECRET } },
      options,
    );
    assert.deepEqual(await handle.result(), { echo: SECRET });
    const recorded = fixture.id('recorded');
    await inbox.execute(keepRecorded, { messageId: recorded, payload: { secret: SECRET } });
    assert.deepEqual(
      await eventually('the command is recorded', async () =>
        client.workflow
          .getHandle(recorded)
          .result()
          .catch(() => null),
      ),
      { echo: SECRET },
    );
    for (const messageId of [sent, started, recorded]) {
      const stored = await history(messageId);
      assert.ok(stored.includes(ENCODING), 'the codec was used');
      assert.ok(!stored.includes(SECRET), `${messageId} is encrypted`);
    }
  });

  it('replays and discards dead letters', async () => {
    const [replayed, discarded] = [fixture.id('replayed'), fixture.id('discarded')];
    const options = { taskQueue: fixture.taskQueue };
    for (const messageId of [replayed, discarded]) {
      await inbox.send(keep, { messageId, payload: { secret: SECRET, fails: 'until replayed' } });
      await fixture.reaches(messageId, 'DeadLetter');
    }
    const payload = { secret: 'corrected-0815' };
    await replayCommand(client, replayed, { payload, actor: 'ann', reason: 'fixed' }, options);
    const { result } = await fixture.reaches(replayed, 'Completed');
    assert.deepEqual(result, { echo: 'corrected-0815' });
    assert.ok(!(await history(replayed)).includes('corrected-0815'));
    await discardCommand(client, discarded, { actor: 'ann', reason: 'obsolete' }, options);
    await eventually('the dead letter is discarded', async () => {
      const { rows } = await fixture.pool.query(
        `select resolved_by from inbox.dead_letters where message_id = $1 and resolution = 'discarded'`,
        [discarded],
      );
      return rows[0] ?? null;
    });
  });

  it('recognizes its own workflows by the encoded memo', async () => {
    const id = await readInboxId(fixture.pool);
    const sent = fixture.id('sent');
    assert.equal((await describeWorkflow(client, sent))!.inbox, id);
    // A client without the codec cannot read it, and then compares the task queue.
    assert.equal((await describeWorkflow(fixture.client, sent))!.inbox, null);
  });

  it('calls the interceptors for its activities and for the workflows that it starts', () => {
    const sent = fixture.id('sent');
    assert.ok(intercepted.activities.includes(`firstAttempt ${sent}`), intercepted.activities.join());
    assert.ok(intercepted.starts.includes(sent), intercepted.starts.join());
  });

  for (const [name, options, message] of [
    [
      'a payload converter',
      { dataConverter: { payloadConverterPath: './x.js' } },
      /dataConverter\.payloadConverterPath is not supported; supported: payloadCodecs/,
    ],
    ['a failure converter', { dataConverter: { failureConverterPath: './x.js' } }, /failureConverterPath/],
    [
      'interceptors of workflows',
      { interceptors: { workflowModules: ['./x.js'] } },
      /interceptors\.workflowModules is not supported; supported: activity, client/,
    ],
    ['something else', { interceptors: 'all' }, /interceptors must be an object/],
  ] as const) {
    it(`refuses ${name}, which the SDK would ignore`, async () => {
      await assert.rejects(
        startWorker(fixture, options as never),
        (error) => error instanceof ConfigurationError && message.test(error.message),
      );
    });
  }
});
