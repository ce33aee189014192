/**
 * Two inboxes, each with its own database, on one namespace and task queue. This mistake must cause nothing but a warning.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { checkHealth } from '../../../src/health/check-health.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import { discard, replay } from '../../../src/operations/index.ts';
import { readInboxId } from '../../../src/store/identity.ts';
import { shortId } from '../../../src/temporal/worker-identity.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const flaky = defineCommand({
  type: 'Flaky',
  schema: z.object({ fail: z.number() }),
  retry: { maximumAttempts: 5, initialInterval: '1s', backoffCoefficient: 1 },
  handle({ attempt, payload }) {
    if (attempt <= payload.fail) throw new Error('not yet');
    return attempt;
  },
});
const fixable = defineCommand({
  type: 'Fixable',
  schema: z.object({}),
  handle({ generation }) {
    if (generation === 0) throw new UnrecoverableError('GateClosed');
    return 'done';
  },
});

const tenNames = (prefix: string) => Array.from({ length: 10 }, (_, index) => `${prefix}-${index}`);

describe('two inboxes on one task queue', () => {
  let one: TestInbox;
  let two: TestInbox;
  let oneId: string;
  let twoId: string;

  before(async () => {
    one = await createTestInbox();
    two = await createTestInbox();
    [oneId, twoId] = await Promise.all([readInboxId(one.pool), readInboxId(two.pool)]);
    await one.startWorker([flaky, fixable]);
    await two.startWorker([flaky, fixable], { taskQueue: one.taskQueue });
  });
  after(async () => {
    await two.close();
    await one.close();
  });

  async function send(
    to: TestInbox,
    type: string,
    payload: { fail?: number },
    names: string[],
  ): Promise<string[]> {
    const inbox = await createInbox({ pool: to.pool });
    const ids = names.map((name) => one.id(name));
    for (const messageId of ids) await inbox.send({ messageId, type, payload });
    await inbox.close();
    return ids;
  }

  it('have different ids', () => {
    assert.notEqual(oneId, twoId);
  });

  it('each handle their own commands, including retries, in the usual time', async () => {
    const startedAt = Date.now();
    const [idsOfOne, idsOfTwo] = await Promise.all([
      send(one, 'Flaky', { fail: 2 }, tenNames('one')),
      send(two, 'Flaky', { fail: 2 }, tenNames('two')),
    ]);
    for (const id of idsOfOne) assert.equal((await one.reaches(id, 'Completed')).retryCount, 2);
    for (const id of idsOfTwo) assert.equal((await two.reaches(id, 'Completed')).retryCount, 2);
    const durationMs = Date.now() - startedAt;
    assert.ok(durationMs < 45_000, `took ${durationMs} ms`);
    assert.equal(await two.entry(idsOfOne[0]!), null);
    assert.equal(await one.entry(idsOfTwo[0]!), null);
  });

  it('lose no replays or discards', async () => {
    const ids = await send(one, 'Fixable', {}, tenNames('dead'));
    for (const id of ids) await one.reaches(id, 'DeadLetter');
    const operator = { ...one, waitMs: 60_000 };
    await Promise.all(
      ids.map(async (id, index) => {
        const answer = await (index < 5 ? discard(operator, id, {}) : replay(operator, id, {}));
        assert.equal(answer, 'done', id);
      }),
    );
    for (const id of ids.slice(5)) await one.reaches(id, 'Completed');
  });

  it('are reported by the workers and the doctor, with the remedy', async () => {
    const env = {
      ...process.env,
      DATABASE_URL: one.database.url,
      INBOX_TASK_QUEUE: one.taskQueue,
    };
    const finding = await eventually('the doctor reports it', async () =>
      (await checkHealth({ env })).find(({ name, ok }) => name === 'workers' && !ok),
    );
    assert.match(finding.finding, new RegExp(`workers of another inbox poll .*inbox:${shortId(twoId)}`));
    assert.doesNotMatch(finding.finding, new RegExp(`inbox:${shortId(oneId)}`));
    assert.match(finding.remedy!, /give each inbox its own INBOX_TASK_QUEUE/);
    await eventually('a worker warns', () =>
      [...one.logs(), ...two.logs()].some(
        (line) => /another inbox/.test(line) && /INBOX_TASK_QUEUE/.test(line),
      ),
    );
  });

  it("do not use up each other's attempts", async () => {
    const [id] = await send(one, 'Flaky', { fail: 1 }, ['attempts']);
    const entry = await one.reaches(id!, 'Completed');
    assert.deepEqual([entry.attempt, entry.retryCount], [2, 1]);
  });
});
