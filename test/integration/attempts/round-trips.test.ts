/** How often an attempt waits for Postgres, counted by a proxy. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import type { CommandDefinition } from '../../../src/commands/define-command.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox, TestWorker } from '../../support/inbox.ts';
import { startProxy } from '../../support/proxy.ts';
import type { Proxy } from '../../support/proxy.ts';

/** Without a delay, an answer on this machine would arrive before the next message is sent. */
const DELAY_MS = 20;
const COMMANDS = 5;

const define = (type: string, express: CommandDefinition['express'] & {}) =>
  defineCommand({
    type,
    express,
    schema: z.object({ statements: z.int() }),
    async handle({ payload, tx, emit, messageId }) {
      for (let number = 0; number < payload.statements; number += 1) await tx.query('select 1');
      emit({ aggregateType: 'test', aggregateId: messageId, type: 'Handled', payload: {} });
      return payload.statements;
    },
  });

describe('the round trips of an attempt', () => {
  let fixture: TestInbox;
  let inbox: Inbox;
  let proxy: Proxy;
  let worker: TestWorker;

  before(async () => {
    fixture = await createTestInbox();
    const url = new URL(fixture.database.url);
    proxy = await startProxy(Number(url.port));
    url.port = String(proxy.port);
    url.hostname = '127.0.0.1';
    inbox = await createInbox({ pool: fixture.pool });
    const commands = [define('Ordinary', false), define('Express', true), define('Recorded', 'recorded')];
    worker = await fixture.startWorker(commands, { concurrency: 2, expressConcurrency: 2 }, url.href);
    proxy.slow(DELAY_MS);
  });
  after(async () => {
    await worker.stop();
    await proxy.close();
    await inbox.close();
    await fixture.close();
  });

  /** The round trips of {@link COMMANDS} commands that run one after the other. */
  async function roundTripsOf(type: string, statements: number, name: string): Promise<number> {
    const turnsBefore = proxy.turns('inbox attempts');
    for (let number = 0; number < COMMANDS; number += 1) {
      const messageId = fixture.id(`${name}-${number}`);
      assert.equal(await inbox.execute({ messageId, type, payload: { statements } }), statements);
    }
    return proxy.turns('inbox attempts') - turnsBefore;
  }

  /** A result arrives shortly before its connection is free again, so the next attempt needs another open connection. */
  async function warmUp(type: string): Promise<void> {
    const ids = Array.from({ length: 8 }, (_, number) => fixture.id(`${type}-first-${number}`));
    await Promise.all(ids.map((messageId) => inbox.execute({ messageId, type, payload: { statements: 1 } })));
    await roundTripsOf(type, 1, `${type}-second`);
  }

  for (const type of ['Ordinary', 'Express', 'Recorded']) {
    it(`are two if the handler runs one statement: ${type}`, async () => {
      await warmUp(type);
      assert.equal(await roundTripsOf(type, 1, `${type}-one`), 2 * COMMANDS);
    });

    it(`are one more for each statement that waits for the previous one: ${type}`, async () => {
      assert.equal(await roundTripsOf(type, 4, `${type}-four`), 5 * COMMANDS);
    });
  }
});
