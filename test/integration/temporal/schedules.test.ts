/** A schedule of Temporal whose action is a command. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ScheduleHandle } from '@temporalio/client';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const closeBooks = defineCommand({
  type: 'CloseBooks',
  schema: z.object({ account: z.string() }),
  handle: ({ payload, metadata, generation }) => {
    if (payload.account === 'missing' && generation === 0) throw new UnrecoverableError('NoAccount');
    return { payload, metadata };
  },
});

interface Row {
  message_id: string;
  status: string;
  result: unknown;
}

describe('a schedule with a command as its action', () => {
  let inbox: TestInbox;
  const schedules: ScheduleHandle[] = [];

  before(async () => {
    inbox = await createTestInbox();
    await inbox.startWorker([closeBooks]);
  });
  after(async () => {
    for (const schedule of schedules) await schedule.delete();
    await inbox.close();
  });

  async function createSchedule(name: string, args: unknown[]): Promise<ScheduleHandle> {
    const schedule = await inbox.client.schedule.create({
      scheduleId: inbox.id(name),
      // Far away: the tests trigger it themselves.
      spec: { intervals: [{ every: '365d' }] },
      action: {
        type: 'startWorkflow',
        workflowType: 'CloseBooks',
        workflowId: inbox.id(name),
        taskQueue: inbox.taskQueue,
        args,
      },
    });
    schedules.push(schedule);
    return schedule;
  }

  /** Waits until the schedule has started this many commands and they have one of these statuses. */
  function commandsOf(name: string, count: number, ...statuses: string[]): Promise<Row[]> {
    return eventually(`${name} has started ${count} commands`, async () => {
      const sql = `select message_id, status, result from inbox.entries
                   where starts_with(message_id, $1) and status::text = any ($2) order by message_id`;
      const found = await rows<Row>(inbox.pool, sql, [`${inbox.id(name)}-`, statuses]);
      return found.length === count && found;
    });
  }

  it('starts a command with a message_id of its own in each run', async () => {
    const schedule = await createSchedule('daily', [{ account: 'a-1' }, { metadata: { by: 'schedule' } }]);
    await schedule.trigger();
    const [first] = await commandsOf('daily', 1, 'Completed');
    assert.deepEqual(first!.result, { payload: { account: 'a-1' }, metadata: { by: 'schedule' } });
    assert.match(first!.message_id, /-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    // Temporal's suffix has seconds, and a run in the same second would have the same ID.
    await eventually(
      'another second has begun',
      () => new Date().toISOString() > first!.message_id.slice(-20),
    );
    await schedule.trigger();
    await commandsOf('daily', 2, 'Completed');
  });

  it('skips its runs while a dead letter is open', async () => {
    const schedule = await createSchedule('failing', [{ account: 'missing' }]);
    // As a run by the calendar, whose default is SKIP; the default of a trigger is ALLOW_ALL.
    await schedule.trigger('SKIP');
    const [dead] = await commandsOf('failing', 1, 'DeadLetter');
    // The dead letter's workflow is still running.
    await schedule.trigger('SKIP');
    await eventually('Temporal has skipped it', async () => {
      const { info } = await schedule.describe();
      return info.numActionsSkippedOverlap >= 1;
    });
    await inbox.client.workflow.getHandle(dead!.message_id).signal('replay');
    await commandsOf('failing', 1, 'Completed');
  });
});
