import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { listDeadLetters } from '../../src/store/dead-letters.ts';
import { listFailures } from '../../src/store/failures.ts';
import type { CliProcess } from '../support/cli.ts';
import { createTestInbox, rows } from '../support/inbox.ts';
import type { TestInbox } from '../support/inbox.ts';
import { startSupervisor } from '../support/supervisor.ts';

describe('a poison message', () => {
  let inbox: TestInbox;
  let supervisor: CliProcess;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.pool.query('create table effects (message_id text)');
    // With a small heap, the process runs out of memory quickly.
    supervisor = startSupervisor(inbox, {
      INBOX_WATCHDOG: '4s',
      NODE_OPTIONS: '--max-old-space-size=160',
    });
    await supervisor.says(/worker started/);
  });
  after(async () => {
    supervisor.kill('SIGTERM');
    const { code, stderr } = await supervisor.result;
    await inbox.close();
    assert.equal(code, 0, stderr);
  });

  async function startNeighbors(name: string, count: number): Promise<string[]> {
    const ids = Array.from({ length: count }, (_, index) => inbox.id(`${name}-${index}`));
    await Promise.all(ids.map((id) => inbox.start(id, { commandType: 'Harmless', payload: {} })));
    return ids;
  }

  const effectsOf = (messageId: string) =>
    rows(inbox.pool, 'select from effects where message_id = $1', [messageId]);

  for (const [what, commandType, why] of [
    ['calls process.exit', 'Exits', /exit code 3/],
    // Node takes seconds to die when its memory is exhausted, so the watchdog may kill the process first.
    ['runs out of memory', 'EatsMemory', /SIGABRT|watchdog/],
    ['never yields', 'NeverYields', /killed by the watchdog: its event loop was blocked for 4 s/],
  ] as const) {
    it(`that ${what} becomes a dead letter; its neighbors complete once, and the worker is restarted`, async () => {
      const log = supervisor.stderr().length;
      const messageId = inbox.id(commandType);
      const neighbors = await startNeighbors(`${commandType}-before`, 5);
      await inbox.start(messageId, { commandType, payload: {} });
      neighbors.push(...(await startNeighbors(`${commandType}-after`, 5)));

      await inbox.reaches(messageId, 'DeadLetter');
      const [letter] = await listDeadLetters(inbox.pool, messageId);
      assert.deepEqual([letter?.errorType, letter?.reason], ['WorkerLost', 'exhausted']);
      const failures = await listFailures(inbox.pool, messageId);
      assert.deepEqual(
        failures.map(({ attempt, errorType }) => [attempt, errorType]),
        [
          [1, 'WorkerLost'],
          [2, 'WorkerLost'],
        ],
      );
      neighbors.push(...(await startNeighbors(`${commandType}-later`, 1)));
      for (const neighbor of neighbors) {
        await inbox.reaches(neighbor, 'Completed');
        assert.equal((await effectsOf(neighbor)).length, 1, neighbor);
      }
      const ends = supervisor
        .stderr()
        .slice(log)
        .split('\n')
        .filter((line) => line.includes('ended unexpectedly'));
      assert.equal(ends.filter((line) => why.test(line)).length, 2, ends.join('\n'));
    });
  }
});
