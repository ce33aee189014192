import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { WorkflowNotFoundError } from '@temporalio/client';
import { createInbox } from '../../src/inbox.ts';
import { createTestInbox } from '../support/inbox.ts';
import type { TestInbox } from '../support/inbox.ts';
import { recorder, startRelay } from '../support/outbox.ts';
import type { TestRelay } from '../support/outbox.ts';
import { eventually } from '../support/wait.ts';
import { startWorkerProcess } from '../support/worker-process.ts';
import type { WorkerProcess } from '../support/worker-process.ts';

const PAYLOAD = 'canary-payload-4711';
const METADATA = 'canary-metadata-4711';
const RESULT = 'canary-result-4711';
const CANARIES = [PAYLOAD, METADATA, RESULT];

/** All text in it, of Temporal's payloads too, which are bytes. Not its JSON: there they would be base64. */
function readable(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return '';
  return Object.entries(value)
    .flatMap(([name, part]) => [name, readable(part)])
    .join('\n');
}
const found = (text: string) => CANARIES.filter((canary) => text.includes(canary));

describe('what is in a command that was sent in Postgres', () => {
  let fixture: TestInbox;
  let worker: WorkerProcess;
  let relay: TestRelay;

  before(async () => {
    fixture = await createTestInbox();
    worker = await startWorkerProcess(fixture, './canary-commands.js', { INBOX_LOG_LEVEL: 'debug' });
    relay = startRelay({ databaseUrl: fixture.database.url, publish: recorder().publish });
    const inbox = await createInbox({ pool: fixture.pool });
    for (const type of ['Canary', 'ExpressCanary']) {
      for (const course of ['completes', 'retried', 'dies', 'invalid']) {
        const payload = { secret: course === 'invalid' ? [PAYLOAD] : PAYLOAD, course };
        const messageId = fixture.id(`${type}-${course}`);
        await inbox.send({ messageId, type, payload, metadata: { secret: METADATA } });
      }
    }
    await inbox.close();
    for (const type of ['Canary', 'ExpressCanary']) {
      for (const course of ['completes', 'retried', 'dies', 'invalid']) {
        const status = course === 'dies' || course === 'invalid' ? 'DeadLetter' : 'Completed';
        await fixture.reaches(fixture.id(`${type}-${course}`), status);
      }
    }
  });
  after(async () => {
    await relay.stop();
    worker.kill('SIGKILL');
    await worker.ended;
    await fixture.close();
  });

  it('is in Postgres, so that it could be found elsewhere', async () => {
    const entry = await fixture.entry(fixture.id('Canary-completes'));
    assert.deepEqual(found(JSON.stringify(entry)), CANARIES);
  });

  it('is in no line that a worker or a relay logs at debug', () => {
    assert.match(worker.log(), /command is a dead letter .*Canary-dies/);
    assert.match(worker.log(), /DEBUG/);
    assert.deepEqual(found(worker.log()), []);
    assert.deepEqual(found(relay.lines.join('\n')), []);
  });

  for (const course of ['completes', 'retried', 'dies', 'invalid']) {
    it(`is in Temporal nowhere but in the result of the workflow: ${course}`, async () => {
      const handle = fixture.client.workflow.getHandle(fixture.id(`Canary-${course}`));
      if (course === 'completes' || course === 'retried') await handle.result();
      const { events } = await eventually('the history has what happened', () => handle.fetchHistory());
      const { raw } = await handle.describe();
      // The description holds search attributes, memo, summary and details.
      assert.match(readable(raw), /"Canary"/, 'search attributes can be read');
      assert.deepEqual(found(readable(raw)), []);

      const completing = ['completes', 'retried'].includes(course);
      const text = readable(events);
      if (!completing) assert.match(text, /"commandType":"Canary"/, 'what is in payloads can be read');
      // Whoever waits for the workflow gets the handler's result from it, so that Temporal has to have it.
      assert.deepEqual(found(text), completing ? [RESULT] : []);
    });
  }

  it('never comes near Temporal where an express command completes at once', async () => {
    const handle = fixture.client.workflow.getHandle(fixture.id('ExpressCanary-completes'));
    await assert.rejects(handle.describe(), WorkflowNotFoundError);
  });

  it('is not in Temporal either when an express command was handed over to a workflow and died', async () => {
    const handle = fixture.client.workflow.getHandle(fixture.id('ExpressCanary-dies'));
    const { events } = await eventually('it has its workflow', async () => {
      const history = await handle.fetchHistory();
      return history.events!.length > 3 ? history : null;
    });
    assert.deepEqual(found(readable(events)), []);
    assert.deepEqual(found(readable((await handle.describe()).raw)), []);
  });
});
