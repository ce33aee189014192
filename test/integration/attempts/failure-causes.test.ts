/**
 * Failures with the same cause are in one failure group, whatever an ORM adds to the error. Statement parameters are not
 * stored.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { Kysely, PostgresDialect } from 'kysely';
import knexFactory from 'knex';
import { z } from 'zod';
import type { Transaction } from '../../../src/commands/define-command.ts';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const knex = knexFactory({ client: 'pg' });

const insert: Record<string, (tx: Transaction, id: string, code: string) => Promise<unknown>> = {
  drizzle: (tx, id, code) =>
    drizzle(tx.client).execute(sql`insert into items (id, code) values (${id}, ${code})`),
  knex: (tx, id, code) => knex('items').insert({ id, code }).connection(tx.client),
  kysely(tx, id, code) {
    const pool = { connect: async () => tx.client, end: async () => {} };
    const db = new Kysely<{ items: { id: string; code: string } }>({
      dialect: new PostgresDialect({ pool }),
    });
    return db.insertInto('items').values({ id, code }).execute();
  },
  'tx itself': (tx, id, code) => tx.query('insert into items (id, code) values ($1, $2)', [id, code]),
};

const insertTwice = defineCommand({
  type: 'InsertTwice',
  schema: z.object({ how: z.string(), id: z.string(), code: z.tuple([z.string(), z.string()]) }),
  retry: { maximumAttempts: 1 },
  async handle({ payload: { how, id, code }, tx }) {
    await insert[how]!(tx, code[0] === code[1] ? `${id}-1` : id, code[0]);
    await insert[how]!(tx, code[0] === code[1] ? `${id}-2` : id, code[1]);
  },
});

const failInOrmTransaction = defineCommand({
  type: 'BreakOff',
  schema: z.object({ id: z.string() }),
  handle: ({ payload: { id }, tx }) =>
    drizzle(tx.client)
      .transaction(async (inner) => {
        await inner.execute(sql`insert into items (id, code) values (${id}, ${id})`);
        throw new UnrecoverableError('SoldOut', { id });
      })
      .catch((cause: unknown) => {
        throw new Error('the order was not placed', { cause });
      }),
});

describe('commands that fail with the same cause', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.pool.query('create table items (id text primary key, code text unique)');
    await inbox.startWorker([insertTwice, failInOrmTransaction]);
  });
  after(async () => {
    await knex.destroy();
    await inbox.close();
  });

  async function send(commandType: string, name: string, payloads: object[]): Promise<string[]> {
    const ids = payloads.map((_, at) => inbox.id(`${name}-${at}`));
    const values = ids.map((id, at) => [id, commandType, JSON.stringify(payloads[at])]);
    for (const one of values) await inbox.pool.query('select inbox.send($1, $2, $3)', one);
    await eventually('all of them are dead letters', async () => {
      const dead = `select from inbox.dead_letters where message_id = any ($1)`;
      return (await rows(inbox.pool, dead, [ids])).length === ids.length;
    });
    return ids;
  }
  const groupsOf = async (ids: string[]) => {
    const sqlText = `select distinct failure_group as name from inbox.dead_letters where message_id = any ($1)`;
    return (await rows<{ name: string }>(inbox.pool, sqlText, [ids])).map(({ name }) => name);
  };

  const groups: Record<string, string[][]> = {};
  for (const how of Object.keys(insert)) {
    it(`are in one failure group, separate from those with another cause: ${how}`, async () => {
      const same = Array.from({ length: 40 }, (_, at) => `secret-${at} it's "q"`);
      const byKey = await send(
        'InsertTwice',
        `${how}-key`,
        same.map((id, at) => ({ how, id, code: [`a${at}`, `b${at}`] })),
      );
      const byCode = await send(
        'InsertTwice',
        `${how}-code`,
        same.map((id) => ({ how, id, code: [id, id] })),
      );
      groups[how] = [await groupsOf(byKey), await groupsOf(byCode)];
      const [[key, ...moreKeys], [code, ...moreCodes]] = groups[how] as [string[], string[]];
      assert.deepEqual([moreKeys, moreCodes], [[], []]);
      assert.match(key!, /^InsertTwice\/SQLSTATE 23505\//);
      assert.match(code!, /^InsertTwice\/SQLSTATE 23505\//);
      assert.notEqual(key, code);
      const stored = `select error || stack as text from inbox.failures where message_id = any ($1)`;
      for (const { text } of await rows<{ text: string }>(inbox.pool, stored, [[...byKey, ...byCode]])) {
        assert.match(text, /duplicate key value violates unique constraint "items_(pkey|code_key)"/);
        assert.ok(!text.includes('secret'), text);
      }
    });
  }

  it('are in the same group whichever client library was used', () => {
    assert.equal(new Set(Object.values(groups).map((group) => JSON.stringify(group))).size, 1);
  });

  it('stay unrecoverable if an ORM’s transaction and another error wrap the cause', async () => {
    const [id] = await send('BreakOff', 'break-off', [{ id: 'x' }]);
    const entry = await inbox.entry(id!);
    assert.deepEqual([entry?.error, entry?.attempt], ['SoldOut: id=x', 1]);
    assert.deepEqual(await rows(inbox.pool, 'select from items'), []);
  });
});
