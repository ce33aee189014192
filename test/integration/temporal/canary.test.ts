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

/** What can happen to a command, and its final status. The last three have the payload in an error message. */
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

/** All texts in a value, including Temporal's payloads, which are bytes. In JSON, they would be base64. */
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

describe('the content of a command that was sent through Postgres', () => {
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
    const { events } = await eventually('the history is available', () => handle.fetchHistory());
    // The description contains search attributes, memo, summary and details.
    return { description: (await handle.describe()).raw, events };
  }

  it('is in Postgres, so that this test would find it elsewhere', async () => {
    const entry = await fixture.entry(fixture.id('Canary-completes'));
    assert.deepEqual(found(JSON.stringify(entry)), CANARIES);
    for (const course of QUOTING) {
      const [failure] = await listFailures(fixture.pool, fixture.id(`Canary-${course}`));
      assert.deepEqual(found(failure!.error), [PAYLOAD], course);
    }
  });

  it('is not logged by a worker or a relay, even at debug level', () => {
    assert.match(worker.log(), /command is a dead letter .*Canary-dies/);
    assert.match(worker.log(), /command is a dead letter .*Canary-quotes and dies/);
    assert.match(worker.log(), /DEBUG/);
    assert.deepEqual(found(worker.log()), []);
    assert.deepEqual(found(relay.lines.join('\n')), []);
  });

  it("is not in the inbox's own outbox events", async () => {
    const events = await rows(fixture.pool, 'select * from inbox.outbox');
    assert.match(JSON.stringify(events), /CommandDeadLettered/);
    assert.deepEqual(found(JSON.stringify(events)), []);
  });

  for (const course of courses.filter((name) => !QUOTING.includes(name))) {
    it(`is nowhere in Temporal except in the result of the workflow: ${course}`, async () => {
      const { description, events } = await inTemporal(`Canary-${course}`, COURSES[course]);
      assert.match(readable(description), /"Canary"/, 'search attributes are readable');
      assert.deepEqual(found(readable(description)), []);
      const completing = COURSES[course] === 'Completed';
      if (!completing) assert.match(readable(events), /"commandType":"Canary"/, 'payloads are readable');
      // Clients that wait for the workflow get the handler's result from it, so Temporal must have the result.
      assert.deepEqual(found(readable(events)), completing ? [RESULT] : []);
    });
  }

  // People look for failures in Temporal's Web UI, so error messages go there, and nothing else does.
  for (const course of QUOTING) {
    it(`is in Temporal's failures if an error message contains it, and nowhere else: ${course}`, async () => {
      const { description, events } = await inTemporal(`Canary-${course}`, COURSES[course]);
      assert.deepEqual(placesOf(description, PAYLOAD), []);
      const where = placesOf(events, PAYLOAD);
      assert.notDeepEqual(where, []);
      assert.deepEqual(
        // The event of the next attempt repeats the previous failure.
        where.filter((path) => !/\.(failure|lastFailure)\./.test(path)),
        [],
      );
      assert.deepEqual(placesOf([description, events], METADATA), []);
    });
  }

  it('never reaches Temporal if an express command completes on its first attempt', async () => {
    const handle = fixture.client.workflow.getHandle(fixture.id('ExpressCanary-completes'));
    await assert.rejects(handle.describe(), WorkflowNotFoundError);
  });

  it('is nowhere in Temporal except in the result if an express command is recorded', async () => {
    const { description, events } = await eventually('the command is recorded', () =>
      inTemporal('RecordedCanary-completes', 'Completed'),
    );
    assert.match(readable(description), /"RecordedCanary"/, 'search attributes are readable');
    assert.deepEqual(found(readable(description)), []);
    assert.deepEqual(found(readable(events)), [RESULT]);
  });

  it('is not in Temporal if an express command got a workflow and became a dead letter', async () => {
    const handle = fixture.client.workflow.getHandle(fixture.id('ExpressCanary-dies'));
    const { events } = await eventually('the command has its workflow', async () => {
      const history = await handle.fetchHistory();
      return history.events!.length > 3 ? history : null;
    });
    assert.deepEqual(found(readable(events)), []);
    assert.deepEqual(found(readable((await handle.describe()).raw)), []);
  });
});
