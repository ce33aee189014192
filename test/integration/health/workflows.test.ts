/**
 * The workflows check of `inbox doctor`. Its finding for workflow IDs that other workflows use is tested in
 * temporal/taken-ids.test.ts.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { NativeConnection, Worker } from '@temporalio/worker';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { INBOX_MEMO } from '../../../src/core/protocol.ts';
import { checkHealth } from '../../../src/health/check-health.ts';
import type { Finding } from '../../../src/health/finding.ts';
import { readInboxId } from '../../../src/store/identity.ts';
import { readTemporal } from '../../../src/temporal/connection-config.ts';
import { shortId, workerIdentity } from '../../../src/temporal/worker-identity.ts';
import { bundle } from '../../support/bundle.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { seedOpen } from '../../support/seed.ts';
import { eventually } from '../../support/wait.ts';

/** Far longer than the checks take. */
const TIMEOUT_MS = 60_000;

const seeded = defineCommand({ type: 'Seeded', schema: z.any(), handle() {} });

async function runChecks({ database, taskQueue }: TestInbox): Promise<Map<string, Finding>> {
  const env = { ...process.env, DATABASE_URL: database.url, INBOX_TASK_QUEUE: taskQueue };
  const findings = await checkHealth({ env, timeoutMs: TIMEOUT_MS });
  return new Map(findings.map((finding) => [finding.name, finding]));
}

describe('the workflows check of doctor', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
  });
  after(() => inbox.close());

  it('detects a workflow task that keeps failing, and the checks of waiting entries point to its remedy', async () => {
    const id = inbox.id('failing');
    await seedOpen(inbox.pool, id, 'Pending', { days: 1 });
    await seedOpen(inbox.pool, inbox.id('dead'), 'DeadLetter', { days: 1 });
    const without = await runChecks(inbox);
    assert.equal(without.get('workflows')!.finding, 'nothing blocks the workflows of 1 late messages');
    assert.match(without.get('pending entries')!.remedy!, /^check that a worker is running/);

    const { connectionOptions, namespace } = readTemporal();
    const connection = await NativeConnection.connect(connectionOptions);
    const worker = await Worker.create({
      connection,
      namespace,
      taskQueue: inbox.taskQueue,
      identity: workerIdentity(await readInboxId(inbox.pool)),
      workflowBundle: await bundle('test/support/failing-workflow.js'),
    });
    const running = worker.run();
    try {
      const { runId } = await (await inbox.start(id)).describe();
      const findings = await eventually('the doctor reports it', async () => {
        const found = await runChecks(inbox);
        return !found.get('workflows')!.ok && found;
      });
      const { finding, remedy } = findings.get('workflows')!;
      assert.match(
        finding,
        /^1 of 1 late messages have a workflow whose workflow task keeps failing, for example: its workflow task fails, attempt \d+: this release is broken$/,
      );
      assert.match(remedy!, new RegExp(`terminate the workflow \\(run ${runId}\\)`));
      assert.ok(remedy!.endsWith(`; \`inbox show ${id}\` shows more`), remedy!);
      assert.equal(
        findings.get('pending entries')!.remedy,
        `first follow the remedy of the check \`workflows\`: ${remedy}`,
      );
      // A dead letter waits for a person, not for its workflow.
      assert.match(findings.get('dead letters')!.remedy!, /^`inbox dead-letters groups` shows their causes/);
      // The checks of entries that don't wait stay healthy.
      assert.deepEqual(
        [findings.get('failed entries')!.ok, findings.get('failed entries')!.remedy],
        [true, null],
      );
    } finally {
      worker.shutdown();
      await running;
      await connection.close();
    }
  });

  it('detects a workflow whose activities go to workers of another inbox', async () => {
    const other = await createTestInbox();
    const own = await createTestInbox();
    try {
      const id = own.id('misrouted');
      await seedOpen(own.pool, id, 'Pending', { days: 1 });
      await other.startWorker([seeded], { taskQueue: own.taskQueue });
      await own.start(id, undefined, { memo: { [INBOX_MEMO]: await readInboxId(own.pool) } });
      const { finding, remedy } = await eventually('the doctor reports it', async () => {
        const found = (await runChecks(own)).get('workflows')!;
        return !found.ok && found;
      });
      assert.match(
        finding,
        new RegExp(
          '^1 of 1 late messages have a workflow whose activities go to workers of another inbox, for example: ' +
            `workers of another inbox poll task queue ${own.taskQueue}: .* inbox:${shortId(await readInboxId(other.pool))}$`,
        ),
      );
      assert.match(remedy!, /^give each inbox its own INBOX_TASK_QUEUE/);
      assert.ok(remedy!.endsWith(`; \`inbox show ${id}\` shows more`), remedy!);
    } finally {
      await other.close();
      await own.close();
    }
  });
});
