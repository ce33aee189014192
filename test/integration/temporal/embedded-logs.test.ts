/** The log lines of a worker that is embedded in a program, also those of Temporal's SDK, contain no error messages. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createInbox } from '../../../src/sending/inbox.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { CANARY } from '../../support/traced-commands.ts';
import { eventually } from '../../support/wait.ts';

const PROGRAM = fileURLToPath(new URL('../../support/embedded-worker.js', import.meta.url));

describe('an embedded worker', () => {
  let fixture: TestInbox;

  before(async () => {
    fixture = await createTestInbox();
  });
  after(() => fixture.close());

  /** Runs the program until its command is a dead letter. Returns everything that it wrote. */
  async function outputOf(name: string, env: Record<string, string>): Promise<string> {
    const child = spawn(process.execPath, [PROGRAM], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        ...env,
        DATABASE_URL: fixture.database.url,
        INBOX_TASK_QUEUE: `${fixture.taskQueue}-${name}`,
        TEMPORAL_DEBUG: '1',
      },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const ended = once(child, 'close');
    try {
      await eventually('the program has started', () => output.includes('"started"'));
      const messageId = fixture.id(name);
      await fixture.pool.query(
        `select inbox.send(message_id => $1, command_type => 'Failing', payload => '{}')`,
        [messageId],
      );
      await fixture.reaches(messageId, 'DeadLetter');
      await eventually('the dead letter is logged', () => output.includes('command is a dead letter'));
    } finally {
      child.kill('SIGTERM');
      await ended;
    }
    return output;
  }

  it('logs no error message, by default as text', async () => {
    const output = await outputOf('text', {});
    assert.ok(!output.includes(CANARY), output);
    assert.match(
      output,
      /WARN {2}attempt failed and will be retried messageId=\S+ commandType=Failing attempt=1/,
    );
  });

  it('logs through a logger of the shape of pino, lines of the SDK included', async () => {
    const output = await outputOf('pino', { LOGGER: 'pino' });
    assert.ok(!output.includes(CANARY), output);
    const lines = output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const dead = lines.find(({ msg }) => msg === 'command is a dead letter');
    assert.equal(dead?.['level'], 50);
    assert.equal(dead?.['messageId'], fixture.id('pino'));
    assert.equal(dead?.['errorType'], 'Refused');
    const own = lines.find(({ msg }) => msg === 'working');
    assert.deepEqual([own?.['messageId'], own?.['error']], [fixture.id('pino'), 'TypeError']);
    assert.ok(lines.some(({ msg }) => String(msg).startsWith('temporal: ')));
  });

  it('refuses two logs, and a logger that is none', async () => {
    const { pool } = fixture;
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    await assert.rejects(createInbox({ pool, log, logger: log }), /give either log or logger, not both/);
    await assert.rejects(
      createInbox({ pool, logger: { info() {} } as never }),
      /logger must be a logger of pino's shape; it lacks: debug, warn, error/,
    );
  });
});
