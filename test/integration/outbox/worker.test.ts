import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { startNats } from '../../support/nats.ts';
import type { TestNats } from '../../support/nats.ts';
import { allPublished, countUnpublished } from '../../support/outbox.ts';
import { eventually } from '../../support/wait.ts';
import { startWorkerProcess } from '../../support/worker-process.ts';
import type { WorkerProcess } from '../../support/worker-process.ts';

const run = promisify(execFile);
const path = (module: string) => fileURLToPath(new URL(module, import.meta.url));

describe('inbox worker --publish', () => {
  let inbox: TestInbox;
  let nats: TestNats;
  let processes: WorkerProcess[] = [];

  before(async () => {
    inbox = await createTestInbox();
    nats = await startNats();
    await nats.addStream({ name: 'EVENTS', subjects: ['inbox.>'] });
  });
  after(async () => {
    await nats.close();
    await inbox.close();
  });
  afterEach(async () => {
    for (const each of processes) each.kill('SIGKILL');
    await Promise.all(processes.map(({ ended }) => ended));
    processes = [];
    await inbox.pool.query('truncate inbox.outbox');
  });

  async function worker(publisher: string): Promise<WorkerProcess> {
    const started = await startWorkerProcess(inbox, './outbox-commands.js', {}, ['--publish', publisher]);
    processes.push(started);
    return started;
  }

  /** Runs a command and returns its result. Its events are in the outbox then. */
  async function deposit(name: string): Promise<unknown> {
    const payload = { account: 'canary-8152', amountCents: 1 };
    const handle = await inbox.start(inbox.id(name), { commandType: 'Deposit', payload });
    return handle.result();
  }

  it('publishes the events of commands to NATS and shuts down cleanly', async () => {
    const publishing = await worker(nats.url);
    assert.equal(await deposit('to-nats'), 'deposited');
    await allPublished(inbox.pool);
    const messages = await nats.read('EVENTS');
    assert.deepEqual(
      messages.map(({ subject }) => subject),
      ['inbox.account.Deposited', 'inbox.account.Noted'],
    );
    assert.equal(messages[0]!.headers!.get('Inbox-Message-Id'), inbox.id('to-nats'));
    publishing.kill('SIGTERM');
    await publishing.ended;
    assert.match(publishing.log(), /worker stopped\n$/);
  });

  it('keeps handling commands while the publisher hangs, and can still be stopped', async () => {
    const stuck = await worker(path('../../support/stuck-publisher.js'));
    for (const name of ['first', 'second', 'third'])
      assert.equal(await deposit(`stuck-${name}`), 'deposited');
    await eventually('the publisher is stuck', () => stuck.log().includes('stuck with'));
    assert.equal(await deposit('stuck-fourth'), 'deposited');
    assert.equal(await countUnpublished(inbox.pool), 8);
    stuck.kill('SIGTERM');
    await stuck.ended;
    assert.match(stuck.log(), /publisher closed\n.* worker stopped\n$/);
  });

  it('keeps handling commands while the publisher throws, and logs none of their data', async () => {
    const broken = await worker(path('../../support/broken-publisher.js'));
    assert.equal(await deposit('broken-first'), 'deposited');
    await eventually('the publisher has failed twice', () => broken.log().includes('failures=2'));
    assert.equal(await deposit('broken-second'), 'deposited');
    assert.equal(await countUnpublished(inbox.pool), 4);
    assert.match(broken.log(), /error=RangeError/);
    assert.doesNotMatch(broken.log(), /canary/);
  });

  it('does not start with an invalid publisher', async () => {
    const start = (publisher: string) => {
      const args = [path('../../../src/cli/main.js'), 'worker', path('../../support/outbox-commands.js')];
      const env = { ...process.env, DATABASE_URL: inbox.database.url };
      return run(process.execPath, [...args, '--publish', publisher], { env });
    };
    const module = path('../../support/outbox-commands.js');
    await assert.rejects(start(module), { code: 1, stderr: /must have a default export that is a function/ });
    await assert.rejects(start('nowhere.js'), {
      code: 1,
      stderr: /publisher nowhere\.js could not be loaded/,
    });
    await assert.rejects(start('nats://'), { code: 1, stderr: /must look like nats:/ });
  });
});
