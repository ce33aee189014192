import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { WorkflowHandle } from '@temporalio/client';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { listDeadLetters } from '../../../src/store/dead-letters.ts';
import { listFailures } from '../../../src/store/failures.ts';
import { listAudit } from '../../../src/store/reports.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually, gate } from '../../support/wait.ts';

/** Fails until its account is in the table `open_accounts`. */
const pay = defineCommand({
  type: 'Pay',
  schema: z.object({ account: z.string(), cents: z.int().positive() }),
  async handle({ payload, tx, generation }) {
    const { rowCount } = await tx.query('select from open_accounts where account = $1', [payload.account]);
    if (rowCount === 0) throw new UnrecoverableError('AccountClosed', { account: payload.account });
    await tx.query('insert into effects (what, cents) values ($1, $2)', [payload.account, payload.cents]);
    return { paid: payload.cents, generation };
  },
});

/** Commands that wait in their first attempt until the test opens the gate, and then fail. */
const gates = new Map<string, { entered: () => void; leave: Promise<void> }>();
const heldOnce = defineCommand({
  type: 'Held',
  schema: z.object({}),
  async handle({ messageId, generation }) {
    const held = gates.get(messageId);
    held?.entered();
    await held?.leave;
    if (generation === 0) throw new UnrecoverableError('DiesOnce');
    return generation;
  },
});

const neverWorks = defineCommand({
  type: 'NeverWorks',
  schema: z.object({}),
  handle() {
    throw new UnrecoverableError('NeverWorks');
  },
});

describe('a dead letter', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.pool.query('create table effects (what text, cents integer)');
    await inbox.pool.query('create table open_accounts (account text)');
    await inbox.startWorker([pay, heldOnce, neverWorks]);
  });
  after(() => inbox.close());

  async function deadPayment(
    name: string,
  ): Promise<{ messageId: string; handle: WorkflowHandle; openAccount: () => Promise<void> }> {
    const messageId = inbox.id(name);
    const payload = { account: messageId, cents: 100 };
    const handle = await inbox.start(messageId, { commandType: 'Pay', payload });
    await inbox.reaches(messageId, 'DeadLetter');
    const openAccount = () =>
      inbox.pool.query('insert into open_accounts values ($1)', [messageId]).then(() => undefined);
    return { messageId, handle, openAccount };
  }

  const auditOf = (messageId: string) =>
    rows<{ action: string; actor: string; reason: string | null; details: Record<string, unknown> }>(
      inbox.pool,
      'select action, actor, reason, details from inbox.audit where message_id = $1 order by id',
      [messageId],
    );

  it('is replayed under the same message_id by a signal without an argument', async () => {
    const { messageId, handle, openAccount } = await deadPayment('replay');
    await openAccount();
    await handle.signal('replay');

    assert.deepEqual(await handle.result(), { paid: 100, generation: 1 });
    const entry = await inbox.entry(messageId);
    assert.equal(entry?.status, 'Completed');
    assert.equal(entry.generation, 1);
    assert.equal(entry.retryCount, 0);
    assert.equal(entry.attempt, 2);
    const [letter] = await listDeadLetters(inbox.pool, messageId);
    assert.equal(letter!.resolution, 'replayed');
    assert.equal(letter!.resolvedBy, 'temporal-signal');
    assert.equal((await auditOf(messageId)).length, 1);
  });

  it('is replayed by an activity with a heartbeat timeout of 10 s, so that a lost worker is noticed soon', async () => {
    const { handle, openAccount } = await deadPayment('missed');
    await openAccount();
    await handle.signal('replay');
    await handle.result();
    const { events } = await handle.fetchHistory();
    const scheduled = events!.flatMap((event) => event.activityTaskScheduledEventAttributes ?? []);
    assert.deepEqual(
      scheduled.map(({ activityType, heartbeatTimeout }) => [
        activityType!.name,
        Number(heartbeatTimeout!.seconds),
      ]),
      [['replayDeadLetter', 10]],
    );
  });

  it('records who replayed it, and why', async () => {
    const { messageId, handle, openAccount } = await deadPayment('who');
    await openAccount();
    await handle.signal('replay', { actor: 'ada', reason: 'account opened' });
    await handle.result();
    const [line] = await auditOf(messageId);
    assert.equal(line!.action, 'replay');
    assert.equal(line!.actor, 'ada');
    assert.equal(line!.reason, 'account opened');
  });

  it('accepts a new payload, keeps the old one, and still treats repeats by the sender as duplicates', async () => {
    const { messageId, handle, openAccount } = await deadPayment('edited');
    await openAccount();
    await handle.signal('replay', { payload: { account: messageId, cents: 55 } });

    assert.deepEqual(await handle.result(), { paid: 55, generation: 1 });
    assert.deepEqual((await inbox.entry(messageId))?.payload, { account: messageId, cents: 55 });
    const [letter] = await listDeadLetters(inbox.pool, messageId);
    assert.deepEqual(letter!.payload, { account: messageId, cents: 100 });
    const [line] = await listAudit(inbox.pool, messageId);
    assert.deepEqual(line!.details['changed'], ['cents']);
    const repeat = await inbox.start(messageId, {
      commandType: 'Pay',
      payload: { account: messageId, cents: 100 },
    });
    assert.deepEqual(await repeat.result(), { paid: 55, generation: 1 });
  });

  it('refuses a new payload that fails the schema, and stays open', async () => {
    const { messageId, handle, openAccount } = await deadPayment('bad-edit');
    await openAccount();
    await handle.signal('replay', { payload: { account: messageId, cents: -5 } });
    const { problem } = await eventually('the refusal is reported', async () => {
      const { refusals } = await inbox.status(messageId);
      return refusals.count === 1 ? refusals : null;
    });
    assert.match(problem, /payload\.cents/);
    assert.equal((await inbox.entry(messageId))?.generation, 0);

    await handle.signal('replay', { payload: { account: messageId, cents: 5 } });
    assert.deepEqual(await handle.result(), { paid: 5, generation: 1 });
    assert.equal((await listDeadLetters(inbox.pool, messageId)).length, 1);
  });

  it('survives signals with invalid arguments', async () => {
    const { handle, openAccount } = await deadPayment('nonsense');
    await handle.signal('replay', 'now!' as never);
    await handle.signal('discard', { actor: 42 } as never);
    await handle.signal('replay', ['x'] as never);
    await openAccount();
    await handle.signal('replay', { actor: null, reason: null } as never);
    assert.deepEqual(await handle.result(), { paid: 100, generation: 1 });
  });

  it('is discarded permanently, with actor and reason', async () => {
    const { messageId, handle } = await deadPayment('discard');
    await handle.signal('discard', { actor: 'ada', reason: 'customer left' });
    await assert.rejects(handle.result(), (error) => {
      const cause = (error as { cause: { type?: string; message: string } }).cause;
      assert.equal(cause.type, 'Discarded');
      assert.equal(cause.message, 'discarded by ada: customer left');
      return true;
    });
    const entry = await inbox.entry(messageId);
    assert.equal(entry?.status, 'DeadLetter');
    const [letter] = await listDeadLetters(inbox.pool, messageId);
    assert.equal(letter!.resolution, 'discarded');
    assert.equal(letter!.resolvedBy, 'ada');
    assert.equal((await auditOf(messageId))[0]!.action, 'discard');

    const repeat = await inbox.start(messageId, {
      commandType: 'Pay',
      payload: { account: messageId, cents: 100 },
    });
    await assert.rejects(repeat.result(), (error) => {
      assert.equal((error as { cause: { type?: string } }).cause.type, 'Discarded');
      return true;
    });
  });

  it('is resolved once by fifty concurrent replays and discards', async () => {
    const { messageId, handle, openAccount } = await deadPayment('fifty');
    await openAccount();
    await Promise.allSettled(
      Array.from({ length: 50 }, (_, index) =>
        handle.signal(index % 2 === 0 ? 'replay' : 'discard', { actor: `${index}` }),
      ),
    );
    await handle.result().catch(() => {});
    const letters = await listDeadLetters(inbox.pool, messageId);
    assert.equal(letters.length, 1);
    assert.ok(letters[0]!.resolution);
    assert.equal((await auditOf(messageId)).length, 1);
  });

  it('is replayed once by fifty replay signals, even if the replay fails again', async () => {
    const messageId = inbox.id('fifty-dead');
    const handle = await inbox.start(messageId, { commandType: 'NeverWorks', payload: {} });
    await inbox.reaches(messageId, 'DeadLetter');
    await Promise.all(Array.from({ length: 50 }, () => handle.signal('replay')));
    await eventually('all signals were processed', async () => {
      const { generation, status } = await inbox.status(messageId);
      return generation === 1 && status === 'DeadLetter';
    });
    const letters = await listDeadLetters(inbox.pool, messageId);
    assert.deepEqual(
      letters.map(({ generation, resolution }) => ({ generation, resolution })),
      [
        { generation: 0, resolution: 'replayed' },
        { generation: 1, resolution: null },
      ],
    );
    assert.equal((await listFailures(inbox.pool, messageId)).length, 2);
  });

  it('is replayed by a signal that arrived before the dead letter existed', async () => {
    const messageId = inbox.id('early');
    const entered = gate();
    const leave = gate();
    gates.set(messageId, { entered: entered.open, leave: leave.opened });
    const handle = await inbox.start(messageId, { commandType: 'Held', payload: {} });
    await entered.opened;
    await handle.signal('replay', { actor: 'early bird' });
    leave.open();
    const entry = await inbox.reaches(messageId, 'Completed');
    assert.equal(entry.generation, 1);
    assert.equal((await listDeadLetters(inbox.pool, messageId))[0]!.resolvedBy, 'early bird');
  });

  it('can be replayed after its workflow was terminated', async () => {
    const { messageId, handle, openAccount } = await deadPayment('terminated');
    await handle.terminate('an operator');
    await openAccount();
    const again = await inbox.client.workflow.signalWithStart('handleCommand', {
      workflowId: messageId,
      taskQueue: inbox.taskQueue,
      signal: 'replay',
      signalArgs: [{ actor: 'ada' }],
    });
    assert.deepEqual(await again.result(), { paid: 100, generation: 1 });
  });

  it('waits again when a duplicate restarts its terminated workflow', async () => {
    const { messageId, handle, openAccount } = await deadPayment('waiting-again');
    await handle.terminate('an operator');
    const again = await inbox.start(messageId, {
      commandType: 'Pay',
      payload: { account: messageId, cents: 100 },
    });
    await eventually(
      'the workflow waits again',
      async () => (await inbox.status(messageId)).status === 'DeadLetter',
    );
    await openAccount();
    await again.signal('replay');
    assert.deepEqual(await again.result(), { paid: 100, generation: 1 });
  });

  it('stays open when its waiting workflow is canceled', async () => {
    const { messageId, handle } = await deadPayment('cancelled');
    await handle.cancel();
    await assert.rejects(handle.result());
    const [letter] = await listDeadLetters(inbox.pool, messageId);
    assert.equal(letter!.resolution, null);
  });

  it('is described by the status query', async () => {
    const { messageId } = await deadPayment('status');
    await eventually(
      'the workflow reports the dead letter',
      async () => (await inbox.status(messageId)).status === 'DeadLetter',
    );
    const report = await inbox.status(messageId);
    assert.equal(report.commandType, 'Pay');
    assert.equal(report.error, `AccountClosed: account=${messageId}`);
    assert.match(report.failureGroup!, /^Pay\/AccountClosed\/[0-9a-f]{8}$/);
  });

  it('is found by its search attributes', async () => {
    const { messageId } = await deadPayment('found');
    const { failureGroup } = await eventually('the workflow reports the failure group', async () => {
      const report = await inbox.status(messageId);
      return report.failureGroup ? report : null;
    });
    const found = await eventually('the visibility store has it', async () => {
      const query = `InboxStatus = 'DeadLetter' and CommandType = 'Pay' and FailureGroup = '${failureGroup}' and TaskQueue = '${inbox.taskQueue}'`;
      for await (const { workflowId } of inbox.client.workflow.list({ query }))
        if (workflowId === messageId) return true;
      return false;
    });
    assert.ok(found);
  });
});
