/**
 * Arguments and signals that cannot be decoded, or decoded but not serialized again, must not block a workflow forever.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { WorkflowHandle } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { readTemporal } from '../../../src/temporal/connection-config.ts';
import { discard, replay, whyPending } from '../../../src/operations/index.ts';
import { CAMPAIGN_WORKFLOW_TYPE, WORKFLOW_TYPE } from '../../../src/core/protocol.ts';
import { readInboxId } from '../../../src/store/identity.ts';
import { workerIdentity } from '../../../src/temporal/worker-identity.ts';
import { bundle } from '../../support/bundle.ts';
import { createCli } from '../../support/cli.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { seedOpen } from '../../support/seed.ts';
import { eventually } from '../../support/wait.ts';

const dead = defineCommand({
  type: 'Dead',
  schema: z.object({}),
  handle() {
    throw new UnrecoverableError('Broken');
  },
});

interface RawPayload {
  metadata: Record<string, Uint8Array>;
  data: Uint8Array;
}

const bytes = (text: string) => Buffer.from(text);
const payload = (encoding: string | null, data: string | Uint8Array): RawPayload => ({
  metadata: encoding === null ? {} : { encoding: bytes(encoding) },
  data: typeof data === 'string' ? bytes(data) : data,
});
const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

const UNDECODABLE: Record<string, RawPayload> = {
  'an unknown encoding': payload('evil/none', '{}'),
  'no encoding': payload(null, '{}'),
  'broken JSON': payload('json/plain', '{bad'),
  'an encrypted payload': payload('binary/encrypted', 'xxxx'),
  protobuf: {
    metadata: { encoding: bytes('binary/protobuf'), messageType: bytes('temporal.api.common.v1.Payload') },
    data: Buffer.from([1, 2, 3]),
  },
  'protobuf as JSON': {
    metadata: { encoding: bytes('json/protobuf'), messageType: bytes('x.Y') },
    data: bytes('{}'),
  },
};
const UNUSABLE: Record<string, RawPayload> = {
  ...UNDECODABLE,
  bytes: payload('binary/plain', Buffer.from([0xff, 0xfe, 0])),
  'a deep payload': payload('json/plain', `{"commandType":"Dead","payload":${deep(300_000)}}`),
  'a deep argument': payload('json/plain', deep(300_000)),
  'a record with a deep result': payload(
    'json/plain',
    `{"commandType":"Dead","completed":{"at":"2020-01-01","result":${deep(300_000)}}}`,
  ),
  'a record with a long time': payload(
    'json/plain',
    `{"commandType":"Dead","completed":{"at":"${'A'.repeat(1_500_000)}","result":1}}`,
  ),
};

const cannotBeDecoded = (encoding: string) =>
  new RegExp(`^the argument cannot be decoded \\(encoding ${encoding}\\): .`);

describe('undecodable input', () => {
  let fixture: TestInbox;

  before(async () => {
    fixture = await createTestInbox();
    await fixture.startWorker([dead]);
  });
  after(() => fixture.close());

  async function start(name: string, type: string, ...payloads: RawPayload[]): Promise<WorkflowHandle> {
    const workflowId = fixture.id(name);
    const { client, taskQueue } = fixture;
    await client.workflowService.startWorkflowExecution({
      namespace: client.options.namespace,
      workflowId,
      workflowType: { name: type },
      taskQueue: { name: taskQueue },
      input: { payloads },
      requestId: workflowId,
    });
    return client.workflow.getHandle(workflowId);
  }

  function signal(workflowId: string, signalName: string, ...payloads: RawPayload[]): Promise<unknown> {
    const { client } = fixture;
    return client.workflowService.signalWorkflowExecution({
      namespace: client.options.namespace,
      workflowExecution: { workflowId },
      signalName,
      input: { payloads },
    });
  }

  for (const [what, argument] of Object.entries(UNUSABLE)) {
    it(`fails a command as InvalidEnvelope: ${what}`, async () => {
      const handle = await start(`argument-${what.replaceAll(' ', '-')}`, WORKFLOW_TYPE, argument);
      await assert.rejects(handle.result(), ({ cause }: { cause?: { type?: string } }) => {
        assert.equal(cause?.type, 'InvalidEnvelope');
        return true;
      });
    });
  }

  for (const number of ['1e400', '-1e400', '1e-400', '0.12345678901234567891', '12345678901234567.5']) {
    it(`fails a command as InvalidEnvelope and stores nothing if its argument contains the number ${number}`, async () => {
      const argument = `{"commandType":"Dead","payload":{"a":[${number}]}}`;
      const handle = await start(`number-${number}`, WORKFLOW_TYPE, payload('json/plain', argument));
      await assert.rejects(handle.result(), ({ cause }: { cause?: { type?: string; message?: string } }) => {
        assert.equal(cause?.type, 'InvalidEnvelope');
        assert.ok(cause.message?.includes(`has the number ${number}`), cause.message);
        return true;
      });
      assert.equal(await fixture.entry(handle.workflowId), null);
    });
  }

  it('rejects a replay if parsing would change a number in its payload', async () => {
    const id = fixture.id('signal-number');
    await fixture.start(id, { commandType: 'Dead', payload: {} });
    await fixture.reaches(id, 'DeadLetter');
    await signal(id, 'replay', payload('json/plain', '{"payload":{"amount":1e400}}'));
    const { refusals } = await eventually('the replay is refused', async () => {
      const report = await fixture.status(id);
      return report.refusals.count === 1 && report;
    });
    assert.match(refusals.problem, /has the number 1e400/);
    assert.equal((await fixture.entry(id))?.generation, 0);
  });

  it('rejects every request in which parsing would change a number, and resolves nothing', async () => {
    const id = fixture.id('request-number');
    await fixture.start(id, { commandType: 'Dead', payload: {} });
    await fixture.reaches(id, 'DeadLetter');
    const requests = ['1e400', '{"reason":1e400,"actor":"ann"}', '{"deadLetterId":1e400}'];
    for (const [index, request] of requests.flatMap((text) => [text, text]).entries()) {
      await signal(id, index % 2 === 0 ? 'discard' : 'replay', payload('json/plain', request));
      const { refusals } = await eventually(`${request} is refused`, async () => {
        const report = await fixture.status(id);
        return report.refusals.count === index + 1 && report;
      });
      assert.match(refusals.problem, /has the number 1e400/);
    }
    assert.equal((await fixture.entry(id))?.status, 'DeadLetter');
  });

  for (const number of ['1e400', '9007199254740993']) {
    it(`names the number ${number} if it is the whole argument`, async () => {
      const handle = await start(`whole-${number}`, WORKFLOW_TYPE, payload('json/plain', number));
      await assert.rejects(handle.result(), ({ cause }: { cause?: { message?: string } }) => {
        assert.ok(cause?.message?.includes(`has the number ${number}`), cause?.message);
        return true;
      });
    });
  }

  it('refuses each undecodable signal with its own reason, and the workflow continues', async () => {
    const id = fixture.id('signals');
    await fixture.start(id, { commandType: 'Dead', payload: {} });
    await fixture.reaches(id, 'DeadLetter');
    const refused: [argument: RawPayload, problem: RegExp][] = [
      [UNDECODABLE['an unknown encoding']!, cannotBeDecoded('evil/none')],
      [UNDECODABLE['no encoding']!, cannotBeDecoded('missing')],
      [
        UNDECODABLE['broken JSON']!,
        /^the argument cannot be decoded \(encoding json\/plain\): invalid JSON$/,
      ],
      [UNDECODABLE['an encrypted payload']!, cannotBeDecoded('binary/encrypted')],
      [UNDECODABLE['protobuf']!, cannotBeDecoded('binary/protobuf')],
      [UNDECODABLE['protobuf as JSON']!, cannotBeDecoded('json/protobuf')],
      [
        payload('json/plain', `{"actor":"x","payload":${deep(300_000)}}`),
        /^the argument cannot be serialized: /,
      ],
      [payload('json/plain', `{"actor":"x","reason":${deep(2_000)}}`), /^reason must be text$/],
    ];
    assert.equal(refused.length, Object.keys(UNDECODABLE).length + 2);
    for (const [index, [argument, problem]] of refused.entries()) {
      await signal(id, 'replay', argument);
      const { refusals } = await eventually('the signal is refused', async () => {
        const report = await fixture.status(id);
        return report.refusals.count === index + 1 && report;
      });
      assert.match(refusals.problem, problem);
    }
    assert.equal((await fixture.entry(id))!.generation, 0);
    assert.equal(await discard(fixture, id, { actor: 'ann' }), 'done');
  });

  it('fails a campaign as UnknownCampaign', async () => {
    for (const [name, argument] of [
      ['text', payload('json/plain', '{"campaignId":"not-a-uuid"}')],
      ['nothing', payload('json/plain', '{}')],
      ['encrypted', payload('binary/encrypted', 'x')],
    ] as const) {
      const handle = await start(`campaign-${name}`, CAMPAIGN_WORKFLOW_TYPE, argument);
      await assert.rejects(handle.result(), ({ cause }: { cause?: { type?: string } }) => {
        assert.equal(cause?.type, 'UnknownCampaign', name);
        return true;
      });
    }
  });
});

describe('a workflow task that keeps failing', () => {
  let fixture: TestInbox;

  before(async () => {
    fixture = await createTestInbox();
  });
  after(() => fixture.close());

  it('is reported by show and replay, with the remedy', async () => {
    const id = fixture.id('failing');
    await seedOpen(fixture.pool, id, 'DeadLetter', { days: 1 });
    const { connectionOptions, namespace } = readTemporal();
    const connection = await NativeConnection.connect(connectionOptions);
    const worker = await Worker.create({
      connection,
      namespace,
      taskQueue: fixture.taskQueue,
      identity: workerIdentity(await readInboxId(fixture.pool)),
      workflowBundle: await bundle('test/support/failing-workflow.js'),
    });
    const running = worker.run();
    try {
      const handle = await fixture.start(id);
      await eventually('the workflow task fails', async () => {
        const { raw } = await handle.describe();
        return (raw.pendingWorkflowTask?.attempt ?? 0) > 1;
      });
      const { stdout } = await createCli(fixture).run(['show', id]);
      assert.match(stdout, /its workflow task fails, attempt \d+: this release is broken/);
      assert.match(stdout, /terminate the workflow/);
      const operator = { ...fixture, waitMs: 0 };
      assert.equal(await replay(operator, id, {}), 'pending');
      const why = await whyPending(operator, id);
      assert.match(why, /its workflow task fails, .*this release is broken: .*terminate the workflow/);
    } finally {
      worker.shutdown();
      await running;
      await connection.close();
    }
  });
});
