import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { WorkflowNotFoundError } from '@temporalio/client';
import { createInbox } from '../../../src/sending/inbox.ts';
import { listFailures } from '../../../src/store/failures.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { recorder, startRelay } from '../../support/outbox.ts';
import type { TestRelay } from '../../support/outbox.ts';
import { eventually } from '../../support/wait.ts';
import { startWorkerProcess } from '../../support/worker-process.ts';
import type { WorkerProcess } from '../../support/worker-process.ts';

const PAYLOAD = 'canary-payload-4711';
const METADATA = 'canary-metadata-4711';
const RESULT = 'canary-result-4711';
const CANARIES = [PAYLOAD, METADATA, RESULT];

/** How a command may go, and how that ends. The last three have the payload in the message of an error. */
const COURSES = {
  completes: 'Completed',
  retried: 'Completed',
  dies: 'DeadLetter',
  invalid: 'DeadLetter',
  quotes: 'Completed',
  casts: 'Completed',
  'quotes and dies': 'DeadLetter',
} as const;
type Course = keyof typeof COURSES;
const courses = Object.keys(COURSES) as Course[];
const QUOTING: Course[] = ['quotes', 'casts', 'quotes and dies'];

interface Place {
  path: string;
  text: string;
}

/** Every text in it, of Temporal's payloads too, which are bytes. Not its JSON: there they would be base64. */
function places(value: unknown, path = ''): Place[] {
  if (value instanceof Uint8Array) return [{ path, text: Buffer.from(value).toString('utf8') }];
  if (typeof value === 'string') return [{ path, text: value }];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, part]) => [
    { path, text: name },
    ...places(part, `${path}.${name}`),
  ]);
}
const readable = (value: unknown) =>
  places(value)
    .map(({ text }) => text)
    .join('\n');
const found = (text: string) => CANARIES.filter((canary) => text.includes(canary));
const placesOf = (value: unknown, canary: string) =>
  places(value)
    .filter(({ text }) => text.includes(canary))
    .map(({ path }) => path);

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
      for (const course of courses) {
        const payload = { secret: course === 'invalid' ? [PAYLOAD] : PAYLOAD, course };
        const messageId = fixture.id(`${type}-${course}`);
        await inbox.send({ messageId, type, payload, metadata: { secret: METADATA } });
      }
    }
    const recorded = { messageId: fixture.id('RecordedCanary-completes'), type: 'RecordedCanary' };
    const payload = { secret: PAYLOAD, course: 'completes' };
    await inbox.send({ ...recorded, payload, metadata: { secret: METADATA } });
    await inbox.close();
    for (const type of ['Canary', 'ExpressCanary']) {
      for (const course of courses) await fixture.reaches(fixture.id(`${type}-${course}`), COURSES[course]);
    }
  });
  after(async () => {
    await relay.stop();
    worker.kill('SIGKILL');
    await worker.ended;
    await fixture.close();
  });

  async function inTemporal(name: string, status: string) {
    const handle = fixture.client.workflow.getHandle(fixture.id(name));
    if (status === 'Completed') await handle.result();
    const { events } = await eventually('the history has what happened', () => handle.fetchHistory());
    // It holds search attributes, memo, summary and details.
    return { description: (await handle.describe()).raw, events };
  }

  it('is in Postgres, so that it could be found elsewhere', async () => {
    const entry = await fixture.entry(fixture.id('Canary-completes'));
    assert.deepEqual(found(JSON.stringify(entry)), CANARIES);
    for (const course of QUOTING) {
      const [failure] = await listFailures(fixture.pool, fixture.id(`Canary-${course}`));
      assert.deepEqual(found(failure!.error), [PAYLOAD], course);
    }
  });

  it('is in no line that a worker or a relay logs at debug', () => {
    assert.match(worker.log(), /command is a dead letter .*Canary-dies/);
    assert.match(worker.log(), /command is a dead letter .*Canary-quotes and dies/);
    assert.match(worker.log(), /DEBUG/);
    assert.deepEqual(found(worker.log()), []);
    assert.deepEqual(found(relay.lines.join('\n')), []);
  });

  it('is in no event but those of its handler', async () => {
    const events = await rows(fixture.pool, 'select * from inbox.outbox');
    assert.match(JSON.stringify(events), /CommandDeadLettered/);
    assert.deepEqual(found(JSON.stringify(events)), []);
  });

  for (const course of courses.filter((name) => !QUOTING.includes(name))) {
    it(`is in Temporal nowhere but in the result of the workflow: ${course}`, async () => {
      const { description, events } = await inTemporal(`Canary-${course}`, COURSES[course]);
      assert.match(readable(description), /"Canary"/, 'search attributes can be read');
      assert.deepEqual(found(readable(description)), []);
      const completing = COURSES[course] === 'Completed';
      if (!completing) assert.match(readable(events), /"commandType":"Canary"/, 'payloads can be read');
      // Whoever waits for the workflow gets the handler's result from it, so that Temporal has to have it.
      assert.deepEqual(found(readable(events)), completing ? [RESULT] : []);
    });
  }

  // Temporal's Web UI is where people look for what went wrong, so that what an error says goes there, and is all that does.
  for (const course of QUOTING) {
    it(`is in Temporal's failures where the message of an error has it, and nowhere else: ${course}`, async () => {
      const { description, events } = await inTemporal(`Canary-${course}`, COURSES[course]);
      assert.deepEqual(placesOf(description, PAYLOAD), []);
      const where = placesOf(events, PAYLOAD);
      assert.notDeepEqual(where, []);
      assert.deepEqual(
        // A try after it says in its own event what it follows.
        where.filter((path) => !/\.(failure|lastFailure)\./.test(path)),
        [],
      );
      assert.deepEqual(placesOf([description, events], METADATA), []);
    });
  }

  it('never comes near Temporal where an express command completes at once', async () => {
    const handle = fixture.client.workflow.getHandle(fixture.id('ExpressCanary-completes'));
    await assert.rejects(handle.describe(), WorkflowNotFoundError);
  });

  it('is in Temporal nowhere but in its result where an express command is recorded', async () => {
    const { description, events } = await eventually('it is recorded', () =>
      inTemporal('RecordedCanary-completes', 'Completed'),
    );
    assert.match(readable(description), /"RecordedCanary"/, 'search attributes can be read');
    assert.deepEqual(found(readable(description)), []);
    assert.deepEqual(found(readable(events)), [RESULT]);
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
