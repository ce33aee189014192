import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { WorkflowExecutionAlreadyStartedError, WorkflowFailedError } from '@temporalio/client';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { RetryAfterError, UnrecoverableError } from '../../../src/core/errors.ts';
import { listDeadLetters } from '../../../src/store/dead-letters.ts';
import { listFailures } from '../../../src/store/failures.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';

const deposit = defineCommand({
  type: 'Deposit',
  schema: z.object({ account: z.string(), cents: z.int().positive() }),
  async handle({ payload, tx, emit }) {
    await tx.query('insert into effects (what, cents) values ($1, $2)', [payload.account, payload.cents]);
    emit({ aggregateType: 'account', aggregateId: payload.account, type: 'Deposited', payload });
    emit({
      aggregateType: 'account',
      aggregateId: payload.account,
      type: 'Thanked',
      payload: {},
      metadata: { a: 1 },
    });
    return { account: payload.account, cents: payload.cents };
  },
});

/** Fails as often as the payload says, then succeeds. */
const flaky = defineCommand({
  type: 'Flaky',
  schema: z.object({ failures: z.int() }),
  retry: { maximumAttempts: 4, initialInterval: '50ms', backoffCoefficient: 1 },
  async handle({ payload, attempt, tx, messageId }) {
    await tx.query('insert into effects (what, cents) values ($1, $2)', [messageId, attempt]);
    if (attempt <= payload.failures) throw new Error(`attempt ${attempt} fails`);
    return attempt;
  },
});

const broke = defineCommand({
  type: 'Broke',
  schema: z.object({}),
  handle({ messageId }) {
    throw new UnrecoverableError('InsufficientFunds', { account: messageId });
  },
});

const later = defineCommand({
  type: 'Later',
  schema: z.object({}),
  handle({ attempt }) {
    if (attempt === 1) throw new RetryAfterError('120ms', 'come back');
    return 'came back';
  },
});

describe('the command lifecycle', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.pool.query('create table effects (what text, cents integer)');
    await inbox.startWorker([deposit, flaky, broke, later]);
  });
  after(() => inbox.close());

  const effectsOf = (what: string) =>
    rows<{ cents: number }>(inbox.pool, 'select cents from effects where what = $1', [what]);

  it('runs the handler once and commits its effects, events and result', async () => {
    const messageId = inbox.id('deposit');
    const account = inbox.id('account');
    const handle = await inbox.start(messageId, { commandType: 'Deposit', payload: { account, cents: 5 } });

    assert.deepEqual(await handle.result(), { account, cents: 5 });
    const entry = await inbox.entry(messageId);
    assert.equal(entry?.status, 'Completed');
    assert.equal(entry.attempt, 1);
    assert.equal(entry.retryCount, 0);
    assert.ok(entry.processedAt);
    assert.deepEqual(entry.result, { account, cents: 5 });
    assert.deepEqual(await effectsOf(account), [{ cents: 5 }]);
    const events = await rows(
      inbox.pool,
      'select aggregatetype, aggregateid, type, payload, metadata, published_at from inbox.outbox where message_id = $1 order by position',
      [messageId],
    );
    assert.deepEqual(events, [
      {
        aggregatetype: 'account',
        aggregateid: account,
        type: 'Deposited',
        payload: { account, cents: 5 },
        metadata: {},
        published_at: null,
      },
      {
        aggregatetype: 'account',
        aggregateid: account,
        type: 'Thanked',
        payload: {},
        metadata: { a: 1 },
        published_at: null,
      },
    ]);
  });

  it('costs one workflow task when it succeeds', async () => {
    const messageId = inbox.id('cheap');
    const handle = await inbox.start(messageId, {
      commandType: 'Deposit',
      payload: { account: messageId, cents: 1 },
    });
    await handle.result();
    const { events } = await handle.fetchHistory();
    assert.equal(
      events?.length,
      6,
      'started, task scheduled, task started, task completed, marker, completed',
    );
  });

  it('retries a transient failure until an attempt succeeds, and keeps no effects of the failed attempts', async () => {
    const messageId = inbox.id('flaky');
    const handle = await inbox.start(messageId, { commandType: 'Flaky', payload: { failures: 2 } });

    assert.equal(await handle.result(), 3);
    const entry = await inbox.entry(messageId);
    assert.equal(entry?.status, 'Completed');
    assert.equal(entry.attempt, 3);
    assert.equal(entry.retryCount, 2);
    assert.equal(entry.error, null);
    assert.equal(entry.nextRetryAt, null);
    assert.deepEqual(await effectsOf(messageId), [{ cents: 3 }]);
    const failures = await listFailures(inbox.pool, messageId);
    assert.deepEqual(
      failures.map(({ attempt, error, retryable }) => ({ attempt, error, retryable })),
      [
        { attempt: 1, error: 'Error: attempt 1 fails', retryable: true },
        { attempt: 2, error: 'Error: attempt 2 fails', retryable: true },
      ],
    );
    assert.match(failures[0]!.stack!, /life-of-a-command/);
  });

  it('waits as long as RetryAfterError requests', async () => {
    const messageId = inbox.id('later');
    const handle = await inbox.start(messageId, { commandType: 'Later', payload: {} });
    assert.equal(await handle.result(), 'came back');
    const [failure] = await listFailures(inbox.pool, messageId);
    assert.equal(failure!.nextRetryAt!.getTime() - failure!.failedAt.getTime(), 120);
  });

  it('makes a command a dead letter when its attempts are used up', async () => {
    const messageId = inbox.id('exhausted');
    await inbox.start(messageId, { commandType: 'Flaky', payload: { failures: 99 } });

    const entry = await inbox.reaches(messageId, 'DeadLetter');
    assert.equal(entry.retryCount, 4);
    assert.equal(entry.error, 'Error: attempt 4 fails');
    const [letter] = await listDeadLetters(inbox.pool, messageId);
    assert.equal(letter!.reason, 'exhausted');
    assert.equal(letter!.retryCount, 4);
    assert.equal(letter!.resolution, null);
    assert.deepEqual(await effectsOf(messageId), []);
  });

  it('makes a command a dead letter immediately if its failure is unrecoverable', async () => {
    const messageId = inbox.id('broke');
    await inbox.start(messageId, {
      commandType: 'Broke',
      payload: {},
      correlationId: 'flow-1',
      causationId: 'cause-1',
      metadata: { tenant: 't' },
    });

    const entry = await inbox.reaches(messageId, 'DeadLetter');
    assert.equal(entry.attempt, 1);
    assert.equal(entry.error, `InsufficientFunds: account=${messageId}`);
    const [letter] = await listDeadLetters(inbox.pool, messageId);
    assert.equal(letter!.reason, 'unrecoverable');
    assert.equal(letter!.errorType, 'InsufficientFunds');
    assert.equal(letter!.correlationId, 'flow-1');
    assert.equal(letter!.causationId, 'cause-1');
    assert.deepEqual(letter!.metadata, { tenant: 't' });
    const [event] = await rows<{ type: string; payload: { deadLetterId: string } }>(
      inbox.pool,
      'select type, payload from inbox.outbox where message_id = $1',
      [messageId],
    );
    assert.equal(event!.type, 'CommandDeadLettered');
    assert.equal(event!.payload.deadLetterId, letter!.id);
  });

  it('makes a command a dead letter immediately if its payload fails the schema', async () => {
    const messageId = inbox.id('InvalidPayload');
    await inbox.start(messageId, { commandType: 'Deposit', payload: { account: 'a', cents: -1 } });
    const entry = await inbox.reaches(messageId, 'DeadLetter');
    assert.ok(entry.error?.startsWith('InvalidPayload: '), entry.error ?? '');
    assert.equal(entry.attempt, 1);
  });

  for (const [name, envelope] of [
    ['no commandType', { payload: {} }],
    ['no payload', { commandType: 'Deposit' }],
    ['no argument and no entry', undefined],
    ['a NUL character', { commandType: 'Deposit', payload: { account: 'a\u0000b', cents: 1 } }],
  ] as const) {
    it(`refuses an envelope with ${name} and stores nothing`, async () => {
      const messageId = inbox.id(`refused ${name}`);
      const handle = await inbox.start(messageId, envelope as never);
      await assert.rejects(handle.result(), (error) => {
        assert.ok(error instanceof WorkflowFailedError);
        assert.equal((error.cause as { type?: string }).type, 'InvalidEnvelope');
        return true;
      });
      assert.equal(await inbox.entry(messageId), null);
    });
  }

  it('returns the stored result to a duplicate and runs nothing', async () => {
    const messageId = inbox.id('twice');
    const envelope = { commandType: 'Deposit', payload: { account: messageId, cents: 7 } };
    await (await inbox.start(messageId, envelope)).result();

    const duplicate = await inbox.start(messageId, {
      commandType: 'Deposit',
      payload: { cents: 7, account: messageId },
    });
    assert.deepEqual(await duplicate.result(), { account: messageId, cents: 7 });
    assert.deepEqual(await effectsOf(messageId), [{ cents: 7 }]);
    assert.equal((await inbox.entry(messageId))?.attempt, 1);
  });

  it('fails a known id with a different payload as IdempotencyConflict and keeps the first command', async () => {
    const messageId = inbox.id('conflict');
    await (
      await inbox.start(messageId, { commandType: 'Deposit', payload: { account: messageId, cents: 1 } })
    ).result();

    const second = await inbox.start(messageId, {
      commandType: 'Deposit',
      payload: { account: messageId, cents: 2 },
    });
    await assert.rejects(second.result(), (error) => {
      assert.equal((error as { cause: { type?: string } }).cause.type, 'IdempotencyConflict');
      return true;
    });
    assert.deepEqual(await effectsOf(messageId), [{ cents: 1 }]);
    assert.deepEqual((await inbox.entry(messageId))?.payload, { account: messageId, cents: 1 });
  });

  it('has one effect for a hundred concurrent duplicates, and for a hundred more afterward', async () => {
    const messageId = inbox.id('hundred');
    const envelope = { commandType: 'Deposit', payload: { account: messageId, cents: 1 } };
    for (let round = 0; round < 2; round += 1) {
      const starts = await Promise.allSettled(
        Array.from({ length: 100 }, () => inbox.start(messageId, envelope)),
      );
      const accepted = starts.filter((start) => start.status === 'fulfilled');
      assert.ok(accepted.length >= 1);
      for (const start of starts) {
        if (start.status === 'rejected')
          assert.ok(start.reason instanceof WorkflowExecutionAlreadyStartedError);
        else assert.deepEqual(await start.value.result(), { account: messageId, cents: 1 });
      }
    }
    assert.deepEqual(await effectsOf(messageId), [{ cents: 1 }]);
    assert.equal((await inbox.entry(messageId))?.attempt, 1);
  });
});
