import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';
import { choosePort } from '../../src/dev/process/ports.ts';
import { startTemporalServer } from '../../src/dev/temporal/server.ts';
import type { TemporalServer } from '../../src/dev/temporal/server.ts';
import { createInbox } from '../../src/sending/inbox.ts';
import type { Inbox } from '../../src/sending/inbox-types.ts';
import { replay } from '../../src/operations/index.ts';
import { SEARCH_ATTRIBUTES } from '../../src/core/protocol.ts';
import { createTestInbox, rows } from '../support/inbox.ts';
import type { TestInbox } from '../support/inbox.ts';
import { eventually } from '../support/wait.ts';

/** Every tenth command becomes a dead letter, every third fails once, and each takes 50 ms. */
const work = defineCommand({
  type: 'Work',
  schema: z.object({ number: z.int() }),
  retry: { maximumAttempts: 10, initialInterval: '200ms', maximumInterval: '2s' },
  async handle({ payload, tx, messageId, attempt, generation }) {
    await tx.query('insert into effects (message_id) values ($1)', [messageId]);
    await tx.query('select pg_sleep(0.05)');
    if (payload.number % 10 === 0 && generation === 0) throw new TypeError('never');
    if (payload.number % 3 === 0 && attempt === 1) throw new Error('not at once');
  },
});

describe('Temporal', () => {
  let server: TemporalServer;
  let port: number;
  let fixture: TestInbox;
  let inbox: Inbox;

  /** The server keeps its data in memory, so killing it loses everything. */
  const start = () =>
    startTemporalServer({ port, uiPort: null, searchAttributes: Object.values(SEARCH_ATTRIBUTES) });

  before(async () => {
    port = await choosePort();
    server = await start();
    fixture = await createTestInbox({ address: `127.0.0.1:${port}` });
    await fixture.pool.query('create table effects (message_id text)');
    inbox = await createInbox({ pool: fixture.pool });
    await fixture.startWorker([work], { concurrency: 4 });
  });
  after(async () => {
    await inbox.close();
    await fixture.close();
    await server.stop();
  });

  const count = async (condition: string) => {
    const sql = `select count(*)::integer as n from inbox.entries where ${condition}`;
    return (await rows<{ n: number }>(fixture.pool, sql))[0]!.n;
  };
  const TERMINAL = `status in ('Completed', 'DeadLetter')`;

  async function sendMany(from: number, to: number): Promise<void> {
    for (let number = from; number < to; number += 1) {
      await inbox.send({ messageId: fixture.id(`work-${number}`), type: 'Work', payload: { number } });
    }
  }

  async function expectAllSettled(sent: number): Promise<void> {
    await eventually(
      `all ${sent} commands are settled`,
      async () => (await count(TERMINAL)) === sent,
      180_000,
    );
    const wrong = await rows(
      fixture.pool,
      `select e.message_id, e.status, count(effects.message_id) from inbox.entries e left join effects using (message_id)
       group by e.id having count(effects.message_id) <> case e.status when 'Completed' then 1 else 0 end`,
    );
    assert.deepEqual(wrong, [], 'Completed commands have one effect, all others have none');
  }

  it('loses no command when it is killed under load and comes back without its data', async () => {
    const first = sendMany(0, 60);
    await eventually('some commands are settled', async () => (await count(TERMINAL)) >= 10);
    await server.kill();
    // Commands are still accepted while Temporal is down.
    await first;
    await sendMany(60, 80);
    assert.equal(await count('true'), 80);
    assert.ok((await count(TERMINAL)) < 80);
    server = await start();
    await expectAllSettled(80);
  });

  it('does not prevent replays of dead letters whose workflows it has lost', async () => {
    const [letter] = await rows<{ message_id: string }>(
      fixture.pool,
      'select message_id from inbox.dead_letters where resolution is null order by id limit 1',
    );
    await server.kill();
    server = await start();
    const operator = {
      pool: fixture.pool,
      client: fixture.client,
      taskQueue: fixture.taskQueue,
      waitMs: 60_000,
    };
    await eventually('Temporal answers again', () =>
      replay(operator, letter!.message_id, { actor: 'ada' }).then((answer) => answer === 'done'),
    );
    const entry = await fixture.reaches(letter!.message_id, 'Completed');
    assert.equal(entry.generation, 1);
  });

  for (const [what, end] of [
    ['terminated', 'terminate'],
    ['deleted', 'delete'],
  ] as const) {
    it(`does not prevent the next attempt when the workflow was ${what} between two attempts`, async () => {
      const messageId = fixture.id(what);
      await fixture.pool.query(`update inbox.entries set relayed_at = null`);
      await inbox.send({ messageId, type: 'Work', payload: { number: 3 } });
      await fixture.reaches(messageId, 'Failed');
      const { client } = fixture;
      await client.workflow.getHandle(messageId).terminate();
      if (end === 'delete') {
        await client.workflowService.deleteWorkflowExecution({
          namespace: client.options.namespace,
          workflowExecution: { workflowId: messageId },
        });
      }
      const entry = await fixture.reaches(messageId, 'Completed');
      assert.equal(entry.attempt, 2);
    });
  }
});
