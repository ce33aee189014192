/** The summaries on a workflow's timeline in Temporal's Web UI: what happened, and what to do next. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { defaultPayloadConverter } from '@temporalio/common';
import type { Payload } from '@temporalio/common';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const schema = z.object({ errorType: z.string() });

const diesOf = (type: string) =>
  defineCommand({
    type,
    schema,
    handle({ payload }) {
      throw new UnrecoverableError(payload.errorType);
    },
  });

const fails = defineCommand({
  type: 'Fails',
  schema: z.unknown(),
  retry: { maximumAttempts: 3, initialInterval: '10ms' },
  handle() {
    throw new TypeError('not today');
  },
});

const EMOJI_TYPE = '🦄'.repeat(200);
const MARKED_TYPE = '_*[]`'.repeat(40);

/** Temporal's limit for the payload of a summary. */
const MAX_BYTES = 400;

describe('the timeline', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.startWorker([diesOf('Pay'), diesOf(EMOJI_TYPE), diesOf(MARKED_TYPE), fails]);
  });
  after(() => inbox.close());

  /** Starts the command, waits until it is a dead letter, and returns the summaries of activities and timers, in order. */
  async function summariesOf(type: string, name: string, errorType: string): Promise<string[]> {
    const workflowId = inbox.id(name);
    const { taskQueue, client } = inbox;
    const handle = await client.workflow.start(type, { workflowId, taskQueue, args: [{ errorType }] });
    await inbox.reaches(workflowId, 'DeadLetter');
    return eventually('the workflow waits for an operator', async () => {
      const { events } = await handle.fetchHistory();
      if (!events!.some(({ timerStartedEventAttributes }) => timerStartedEventAttributes)) return null;
      return events!.flatMap(({ userMetadata }) => {
        const summary = userMetadata?.summary as Payload | undefined;
        if (!summary) return [];
        assert.ok(summary.data!.length <= MAX_BYTES, `${summary.data!.length} bytes`);
        return [defaultPayloadConverter.fromPayload<string>(summary)];
      });
    });
  }

  it('says what to do about a dead letter', async () => {
    const summaries = await summariesOf('Pay', 'dead', 'AccountFrozen');
    assert.equal(
      summaries.at(-1),
      'Dead letter: Pay failed with AccountFrozen. Fix the cause, then send the signal replay, or send the signal discard to ' +
        'drop the command. (This timer only shows this text.)',
    );
  });

  for (const [what, type] of [
    ['emoji', EMOJI_TYPE],
    ['characters with a meaning in Markdown', MARKED_TYPE],
  ] as const) {
    it(`shortens the names, not what to do: ${what}`, async () => {
      const summaries = await summariesOf(type, `long ${what}`, type);
      assert.match(
        summaries.at(-1)!,
        /^Dead letter: .+… failed with .+…\. Fix the cause, .*shows this text\.\)$/,
      );
    });
  }

  it('names the real limit of retries', async () => {
    const summaries = await summariesOf('Fails', 'retried', '');
    assert.ok(
      summaries.includes('Fails: attempts 2 to 3 of 3, after TypeError; a dead letter if all fail'),
      summaries.join('\n'),
    );
  });
});
