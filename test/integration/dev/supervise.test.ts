import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { isAlive } from '../../../src/dev/process/processes.ts';
import { supervise } from '../../../src/dev/process/supervise.ts';
import { eventually } from '../../support/wait.ts';

const SUPERVISE = new URL('../../../src/dev/process/supervise.js', import.meta.url).href;

/** A server that prints when it is ready and when it is asked to stop. */
const SERVER = `
  process.on('SIGTERM', () => { console.log('asked to stop'); process.exit(0); });
  console.log('ready');
  setInterval(() => {}, 1000);
`;
/** A server that ignores SIGTERM. */
const STUBBORN = `process.on('SIGTERM', () => {}); console.log('ready'); setInterval(() => {}, 1000);`;

void describe('supervise', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dev-supervise-'));
  });
  after(() => rm(folder, { recursive: true }));

  const optionsFor = (name: string, program: string) => ({
    command: process.execPath,
    args: ['-e', program],
    env: process.env,
    cwd: folder,
    logFile: join(folder, `${name}.log`),
  });
  const logOf = (name: string) => readFile(join(folder, `${name}.log`), 'utf8').catch(() => '');
  const waitUntilReady = (name: string) =>
    eventually(`${name} is ready`, async () => (await logOf(name)).includes('ready'));

  void it('neither writes to nor reads a log that the server has replaced with a symbolic link', async () => {
    const victim = join(folder, 'victim');
    await writeFile(victim, 'canary\n');
    const replaceLog = `const fs = require('node:fs'); fs.rmSync('aimed.log'); fs.symlinkSync('victim', 'aimed.log');`;
    const server = await supervise(optionsFor('aimed', replaceLog));
    await server.exited;
    assert.doesNotMatch(await server.readLog(), /canary/);
    await assert.rejects(supervise(optionsFor('aimed', SERVER)), { code: 'ELOOP' });
    assert.equal(await readFile(victim, 'utf8'), 'canary\n');
  });

  void it('stops a server gracefully and keeps its output in the log', async () => {
    const server = await supervise(optionsFor('graceful', SERVER));
    await waitUntilReady('graceful');
    assert.ok(isAlive(server.pid));
    await server.stop();
    assert.equal(await server.readLog(), 'ready\nasked to stop');
    assert.deepEqual(server.exit, { code: 0, signal: null });
    assert.equal(isAlive(server.pid), false);
    await server.stop();
  });

  void it('kills a server that does not stop in time', async () => {
    const server = await supervise({ ...optionsFor('stubborn', STUBBORN), graceMs: 200 });
    await waitUntilReady('stubborn');
    await server.stop();
    assert.deepEqual(server.exit, { code: null, signal: 'SIGKILL' });
    assert.equal(isAlive(server.pid), false);
  });

  void it('kills the server itself, not only the watchdog process', async () => {
    const server = await supervise(optionsFor('killed', SERVER));
    await waitUntilReady('killed');
    await server.kill();
    assert.deepEqual(server.exit, { code: null, signal: 'SIGKILL' });
    assert.equal(isAlive(server.pid), false);
    assert.equal(await logOf('killed'), 'ready\n');
  });

  void it('reports the exit of a server that ends on its own', async () => {
    const server = await supervise(optionsFor('short', 'process.exit(7)'));
    assert.deepEqual(await server.exited, { code: 7, signal: null });
  });

  void it('reports why a command cannot be started', async () => {
    const missing = supervise({ ...optionsFor('missing', ''), command: join(folder, 'missing') });
    await assert.rejects(missing, /ENOENT/);
  });

  void describe('when its owner ends', () => {
    const cases: { how: string; end: (owner: number) => void }[] = [
      { how: 'SIGKILL', end: (owner) => process.kill(owner, 'SIGKILL') },
      { how: 'SIGTERM', end: (owner) => process.kill(owner, 'SIGTERM') },
      // Like a terminal, signal the whole foreground process group. It includes a server that has no group of its own.
      { how: 'Ctrl-C', end: (owner) => process.kill(-owner, 'SIGINT') },
    ];
    for (const { how, end } of cases) {
      void it(`by ${how}, stops the server gracefully and deletes temporary files`, async () => {
        const name = `owner-${how}`;
        const temporary = await mkdtemp(join(folder, 'temporary-'));
        const options = { ...optionsFor(name, SERVER), removeWhenOrphaned: [temporary] };
        const program = `
          import { supervise } from ${JSON.stringify(SUPERVISE)};
          console.log((await supervise(${JSON.stringify(options)})).pid);
        `;
        const owner = spawn(process.execPath, ['--input-type=module', '-e', program], {
          detached: true,
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        const [line] = await once(createInterface(owner.stdout), 'line');
        const server = Number(line);
        await waitUntilReady(name);
        assert.ok(isAlive(server));

        end(owner.pid ?? 0);
        await eventually('the server has ended', () => !isAlive(server));
        assert.equal(await logOf(name), 'ready\nasked to stop\n');
        await eventually('the temporary files are deleted', () =>
          stat(temporary).then(
            () => false,
            () => true,
          ),
        );
      });
    }
  });
});
