/**
 * Records the histories that histories.test.ts replays: real commands on a real server, one for each path a command can
 * take. Run it by hand before changing the workflow, and keep the old files, because open dead letters still have such
 * histories. `recorded` and `recorded-verified` were recorded by earlier releases.
 *
 *     DATABASE_URL=… TEMPORAL_ADDRESS=… node dist/test/replay/record.js [name …]
 *
 * @module
 */
import { mkdir, writeFile } from 'node:fs/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../src/core/errors.ts';
import { packageFile } from '../../src/platform/package-files.ts';
import { startCampaign } from '../../src/operations/index.ts';
import { alertWorkflowId, campaignWorkflowId, WORKFLOW_TYPE } from '../../src/core/protocol.ts';
import { createTestInbox } from '../support/inbox.ts';
import type { TestInbox } from '../support/inbox.ts';
import { eventually } from '../support/wait.ts';

const FOLDER = packageFile('test/replay/histories/');

/** Fails as often as the payload says, counted since it was received or last replayed, then succeeds. */
const flaky = defineCommand({
  type: 'Flaky',
  schema: z.object({ failures: z.int() }),
  retry: { maximumAttempts: 3, initialInterval: '10ms' },
  handle({ payload, attempt }) {
    if (attempt <= payload.failures) throw new Error(`attempt ${attempt} fails`);
    return { attempts: attempt };
  },
});

/** Succeeds after as many replays as the payload says. */
const fixedByReplay = defineCommand({
  type: 'Mended',
  schema: z.object({ replays: z.int() }),
  handle({ payload, generation }) {
    if (generation < payload.replays) throw new UnrecoverableError('NotMendedYet', { generation });
    return { generation };
  },
});

const failsSlowly = defineCommand({
  type: 'Patient',
  schema: z.object({}),
  retry: { initialInterval: '1h', maximumInterval: '1h' },
  handle() {
    throw new Error('not today');
  },
});

const longRunning = defineCommand({
  type: 'Long',
  schema: z.object({ failures: z.int() }),
  retry: { initialInterval: '10ms' },
  longRunning: true,
  handle({ payload, attempt }) {
    if (attempt <= payload.failures) throw new Error(`attempt ${attempt} fails`);
    return 'at last';
  },
});

const recordedExpress = defineCommand({
  type: 'Remembered',
  express: 'recorded',
  schema: z.object({}),
  handle: () => ({ remembered: true }),
});

/** Inserts an entry as a sender would. */
async function insert(inbox: TestInbox, messageId: string, commandType: string, payload: string) {
  await inbox.pool.query(
    `insert into inbox.entries (message_id, command_type, payload, fingerprint)
     values ($1, $2::text, $3::jsonb, inbox.fingerprint($2::text, $3::jsonb))`,
    [messageId, commandType, payload],
  );
}

type Recording = (inbox: TestInbox, messageId: string) => Promise<WorkflowHandle>;

async function waitForEnd(handle: WorkflowHandle): Promise<WorkflowHandle> {
  await handle.result().catch(() => {});
  return handle;
}

/** Starts a command with this payload and waits until it is a dead letter. */
async function startDeadLetter(inbox: TestInbox, messageId: string, commandType: string, payload: object) {
  const handle = await inbox.start(messageId, {
    commandType,
    payload: payload as never,
    correlationId: 'flow',
  });
  await waitForDeadLetter(inbox, messageId);
  return handle;
}

const recordings: Record<string, Recording> = {
  completed: async (inbox, id) =>
    waitForEnd(await inbox.start(id, { commandType: 'Flaky', payload: { failures: 0 } })),

  'completed-from-postgres': async (inbox, id) => {
    await insert(inbox, id, 'Flaky', '{"failures": 0}');
    return waitForEnd(await inbox.start(id));
  },

  'retried-completed': async (inbox, id) =>
    waitForEnd(await inbox.start(id, { commandType: 'Flaky', payload: { failures: 2 } })),

  'exhausted-parked': (inbox, id) => startDeadLetter(inbox, id, 'Flaky', { failures: 99 }),

  'dead-parked': (inbox, id) => startDeadLetter(inbox, id, 'Mended', { replays: 99 }),

  'dead-replayed-completed': async (inbox, id) => {
    const handle = await startDeadLetter(inbox, id, 'Mended', { replays: 1 });
    await handle.signal('replay', { actor: 'ada', reason: 'fixed' });
    return waitForEnd(handle);
  },

  'dead-replayed-with-payload': async (inbox, id) => {
    const handle = await startDeadLetter(inbox, id, 'Mended', { replays: 99 });
    await handle.signal('replay', { payload: { replays: 'none' } });
    await eventually('the refusal is reported', async () => (await inbox.status(id)).refusals.count === 1);
    await handle.signal('replay', { payload: { replays: 0 } });
    return waitForEnd(handle);
  },

  'dead-replayed-dead-discarded': async (inbox, id) => {
    const handle = await startDeadLetter(inbox, id, 'Mended', { replays: 99 });
    await handle.signal('replay');
    await eventually('the second generation is a dead letter', async () => {
      const { generation, status } = await inbox.status(id);
      return generation === 1 && status === 'DeadLetter';
    });
    await handle.signal('discard', { actor: 'ada' });
    return waitForEnd(handle);
  },

  'dead-discarded': async (inbox, id) => {
    const handle = await startDeadLetter(inbox, id, 'Mended', { replays: 99 });
    await handle.signal('discard');
    return waitForEnd(handle);
  },

  'dead-terminated-replayed': async (inbox, id) => {
    await (await startDeadLetter(inbox, id, 'Mended', { replays: 1 })).terminate('an operator');
    const { taskQueue, client } = inbox;
    const options = { workflowId: id, taskQueue, signal: 'replay', signalArgs: [{ actor: 'ada' }] };
    return waitForEnd(await client.workflow.signalWithStart(WORKFLOW_TYPE, options));
  },

  refused: async (inbox, id) => waitForEnd(await inbox.start(id, { payload: {} } as never)),

  duplicate: async (inbox, id) => {
    const envelope = { commandType: 'Flaky', payload: { failures: 0 } };
    await waitForEnd(await inbox.start(id, envelope));
    return waitForEnd(await inbox.start(id, envelope));
  },

  conflict: async (inbox, id) => {
    await waitForEnd(await inbox.start(id, { commandType: 'Flaky', payload: { failures: 0 } }));
    return waitForEnd(await inbox.start(id, { commandType: 'Flaky', payload: { failures: 1 } }));
  },

  'long-running-completed': async (inbox, id) =>
    waitForEnd(await inbox.start(id, { commandType: 'Long', payload: { failures: 1 } })),

  'failed-cancelled': async (inbox, id) => {
    const handle = await inbox.start(id, { commandType: 'Patient', payload: {} });
    await eventually('the workflow waits', async () => (await inbox.status(id)).status === 'Failed');
    await handle.cancel();
    return waitForEnd(handle);
  },

  'dead-cancelled': async (inbox, id) => {
    const handle = await startDeadLetter(inbox, id, 'Mended', { replays: 99 });
    await handle.cancel();
    return waitForEnd(handle);
  },

  'dead-replayed-by-campaign': async (inbox, id) => {
    const handle = await startDeadLetter(inbox, id, 'Mended', { replays: 1 });
    await replayByCampaign(inbox, id);
    return waitForEnd(handle);
  },

  'campaign-finished': async (inbox, id) => {
    await startDeadLetter(inbox, id, 'Mended', { replays: 1 });
    return replayByCampaign(inbox, id);
  },

  'alert-told': async (inbox, id) => {
    await startDeadLetter(inbox, id, 'Mended', { replays: 99 });
    return waitForAlert(inbox, id);
  },

  'alert-given-up': async (inbox, id) => {
    await startDeadLetter(inbox, id, 'Flaky', { failures: 99 });
    return waitForAlert(inbox, id);
  },
};

/** Workflows whose type is the command's type. The others have the type of earlier releases. */
const typedRecordings: Record<string, Recording> = {
  'typed-completed': async (inbox, id) =>
    waitForEnd(await startTyped(inbox, id, 'Flaky', [{ failures: 0 }, { correlationId: 'flow' }])),

  'typed-from-postgres': async (inbox, id) => {
    await insert(inbox, id, 'Flaky', '{"failures": 0}');
    return waitForExisting(inbox, id);
  },

  'typed-recorded': async (inbox, id) => {
    await insert(inbox, id, 'Remembered', '{}');
    return waitForExisting(inbox, id);
  },

  'typed-exhausted-replayed': async (inbox, id) => {
    const handle = await startTyped(inbox, id, 'Flaky', [{ failures: 99 }]);
    await waitForDeadLetter(inbox, id);
    await handle.signal('replay', { payload: { failures: 1 }, actor: 'ada' });
    return waitForEnd(handle);
  },

  'typed-dead-parked': async (inbox, id) => {
    const handle = await startTyped(inbox, id, 'Mended', [{ replays: 99 }]);
    await waitForDeadLetter(inbox, id);
    return handle;
  },

  'typed-dead-discarded': async (inbox, id) => {
    const handle = await startTyped(inbox, id, 'Mended', [{ replays: 99 }]);
    await waitForDeadLetter(inbox, id);
    await handle.signal('discard', { actor: 'ada' });
    return waitForEnd(handle);
  },

  'typed-refused': async (inbox, id) =>
    waitForEnd(await startTyped(inbox, id, 'Flaky', [{ failures: 0 }, { unknown: true }])),

  'typed-unknown': async (inbox, id) => waitForEnd(await startTyped(inbox, id, 'NoSuchCommand', [{}])),

  'typed-conflict': async (inbox, id) => {
    await waitForEnd(await startTyped(inbox, id, 'Flaky', [{ failures: 0 }]));
    return waitForEnd(await startTyped(inbox, id, 'Mended', []));
  },
};

function startTyped(
  { client, taskQueue }: TestInbox,
  workflowId: string,
  type: string,
  args: unknown[],
): Promise<WorkflowHandle> {
  return client.workflow.start(type, { workflowId, taskQueue, args });
}

async function waitForDeadLetter(inbox: TestInbox, messageId: string): Promise<void> {
  await eventually(
    `${messageId} is a dead letter`,
    async () => (await inbox.status(messageId)).status === 'DeadLetter',
  );
}

/** Waits for the end of the workflow that the worker starts. */
function waitForExisting({ client }: TestInbox, messageId: string): Promise<WorkflowHandle> {
  return eventually('the workflow exists', async () => {
    const handle = client.workflow.getHandle(messageId);
    await handle.describe();
    return waitForEnd(handle);
  });
}

/** Replays this one dead letter with a campaign, and waits for its end. */
async function replayByCampaign(inbox: TestInbox, messageId: string): Promise<WorkflowHandle> {
  const correlationId = messageId;
  await inbox.pool.query('update inbox.dead_letters set correlation_id = $1 where message_id = $1', [
    messageId,
  ]);
  const filter = { correlationId };
  const { id } = await startCampaign(inbox, { filter, actor: 'ada', reason: 'fixed' });
  return waitForEnd(inbox.client.workflow.getHandle(campaignWorkflowId(id)));
}

/** Waits for the workflow of this dead letter's alert to end. */
async function waitForAlert(inbox: TestInbox, messageId: string): Promise<WorkflowHandle> {
  const alertId = await eventually(`${messageId} has an alert`, async () => {
    const sql = 'select alert_id from inbox.dead_letters where message_id = $1';
    return (await inbox.pool.query<{ alert_id: string | null }>(sql, [messageId])).rows[0]?.alert_id;
  });
  return eventually('the workflow of the alert exists', async () => {
    const handle = inbox.client.workflow.getHandle(alertWorkflowId(alertId));
    await handle.describe();
    return waitForEnd(handle);
  });
}

/** Removes what depends on the machine and the time, so that two recordings differ only if the workflow differs. */
function scrub(json: string): string {
  return JSON.stringify(
    JSON.parse(json, (key, value: unknown) => {
      // The worker's identity, and the sticky task queue that is named after it.
      if (typeof value === 'string' && /^\d+@/.test(value)) return 'worker';
      if (key === 'stackTrace') return '';
      return value;
    }),
    null,
    1,
  );
}

async function record(): Promise<void> {
  const inbox = await createTestInbox();
  try {
    await mkdir(FOLDER, { recursive: true });
    // Alerts of Flaky commands are given up immediately.
    const settings = { alertGiveUpMs: 1, alertWindowMs: 0 };
    await inbox.startWorker(
      [flaky, fixedByReplay, failsSlowly, longRunning, recordedExpress],
      settings,
      undefined,
      ({ commandType }) => {
        if (commandType === 'Flaky') throw new Error('delivery failed');
      },
    );
    const wanted = process.argv.slice(2);
    for (const [name, run] of Object.entries({ ...recordings, ...typedRecordings })) {
      if (wanted.length > 0 && !wanted.includes(name)) continue;
      const handle = await run(inbox, inbox.id(name));
      const history = scrub(historyToJSON(await handle.fetchHistory()));
      const own = inbox.taskQueue.replace('inbox', '');
      await writeFile(new URL(`${name}.json`, FOLDER), `${history.replaceAll(own, '')}\n`);
      process.stderr.write(`${name}: ${history.length} bytes\n`);
    }
  } finally {
    await inbox.close();
  }
}

await record();
