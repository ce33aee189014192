/**
 * Transactions that ORMs begin inside an attempt's transaction become savepoints, so that everything is committed together.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sql as drizzleSql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { pgTable, text as textColumn } from 'drizzle-orm/pg-core';
import { drizzle as drizzleOnPostgresJs } from 'drizzle-orm/postgres-js';
import { Kysely, PostgresDialect } from 'kysely';
import knexFactory from 'knex';
import type { Knex } from 'knex';
import { Client, Pool, Query } from 'pg';
import Cursor from 'pg-cursor';
import postgres from 'postgres';
import { DataSource, EntitySchema } from 'typeorm';
import type { EntityManager } from 'typeorm';
import { z } from 'zod';
import type { HandlerContext, Transaction } from '../../../src/commands/define-command.ts';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { dryRun } from '../../../src/operations/index.ts';
import { listFailures } from '../../../src/store/failures.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';

type Context = HandlerContext<{ behavior: string; how?: string }>;

/** The parts of an ORM that the tests need: a statement that writes a row, and a transaction around a function. */
interface Orm {
  write: (what: string) => Promise<unknown>;
  transaction: (work: (inner: Orm) => Promise<void>) => Promise<void>;
  isolated: (work: () => Promise<void>) => Promise<void>;
}

const knex = knexFactory({ client: 'pg' });

const orms: Record<string, (tx: Transaction) => Orm> = {
  drizzle(tx) {
    type Db = Pick<ReturnType<typeof drizzle>, 'execute' | 'transaction'>;
    const wrap = (db: Db): Orm => ({
      write: (what) => db.execute(drizzleSql`insert into effects (what) values (${what})`),
      transaction: (work) => db.transaction((inner) => work(wrap(inner))),
      isolated: (work) => db.transaction(work, { isolationLevel: 'serializable' }),
    });
    return wrap(drizzle(tx.client));
  },
  kysely(tx) {
    type Db = Kysely<{ effects: { what: string } }>;
    const pool = { connect: async () => tx.client, end: async () => {} };
    const wrap = (db: Db, nested = false): Orm => ({
      write: (what) => db.insertInto('effects').values({ what }).execute(),
      // Kysely itself cannot nest transactions, but a second instance can begin one.
      transaction: (work) =>
        (nested ? create() : db).transaction().execute((inner) => work(wrap(inner, true))),
      isolated: (work) => db.transaction().setIsolationLevel('serializable').execute(work),
    });
    const create = (): Db => new Kysely({ dialect: new PostgresDialect({ pool }) });
    return wrap(create());
  },
  knex(tx) {
    const wrap = (db: Knex, options: object): Orm => ({
      write: async (what) => {
        const query = db('effects').insert({ what });
        return db === knex ? query.connection(tx.client) : query;
      },
      transaction: (work) => db.transaction((inner) => work(wrap(inner, {})), options),
      isolated: (work) => db.transaction(work, { ...options, isolationLevel: 'serializable' }),
    });
    return wrap(knex, { connection: tx.client });
  },
  'tx itself'(tx) {
    const orm: Orm = {
      write: (what) => tx.query('insert into effects (what) values ($1)', [what]),
      async transaction(work) {
        await tx.query('BEGIN;');
        try {
          await work(orm);
          await tx.query({ text: 'end transaction' });
        } catch (error) {
          await tx.query('ABORT');
          throw error;
        }
      },
      async isolated(work) {
        await tx.query('start transaction read write, isolation level serializable');
        await work();
        await tx.query('commit');
      },
    };
    return orm;
  },
};

const innerFailure = new Error('only the inner part');
const ignoreInnerFailure = (error: unknown) => {
  if (error !== innerFailure) throw error;
};

/** What a handler does with an ORM. Rows that must be committed have names that begin with `kept`. */
const uses: Record<string, (orm: Orm, context: Context) => Promise<unknown>> = {
  async commits(orm) {
    await orm.write('kept before');
    await orm.transaction((inner) => inner.write('kept inside').then(() => {}));
    await orm.write('kept after');
    return 'done';
  },
  async rollsBackTheInnerPart(orm) {
    await orm.write('kept before');
    await orm
      .transaction(async (inner) => {
        await inner.write('lost');
        throw innerFailure;
      })
      .catch(ignoreInnerFailure);
    await orm.write('kept after');
    return 'done';
  },
  async survivesAFailedStatement(orm) {
    await orm.write('kept before');
    await orm
      .transaction(async (inner) => {
        await inner.write('lost');
        await inner.write(null as never);
      })
      .catch(() => {});
    await orm.write('kept after');
    return 'done';
  },
  async nestsTwice(orm) {
    await orm.transaction(async (outer) => {
      await outer.write('kept outer');
      await outer
        .transaction(async (inner) => {
          await inner.write('lost');
          throw innerFailure;
        })
        .catch(ignoreInnerFailure);
      await outer.transaction((inner) => inner.write('kept inner').then(() => {}));
    });
    return 'done';
  },
  async rollsBackBoth(orm) {
    await orm
      .transaction(async (outer) => {
        await outer.transaction((inner) => inner.write('lost').then(() => {}));
        throw innerFailure;
      })
      .catch(ignoreInnerFailure);
    await orm.write('kept after');
    return 'done';
  },
  async failsAfterwards(orm, { generation }) {
    await orm.transaction((inner) => inner.write('kept once').then(() => {}));
    if (generation === 0) throw new Error('not this time');
    return 'done';
  },
  async isolates(orm) {
    await orm.isolated(async () => {
      await orm.write('lost');
    });
  },
  async leavesOneOpen(orm) {
    void orm.transaction(async (inner) => {
      await inner.write('lost');
      await new Promise(() => {});
    });
    await orm.write('lost');
  },
};

const useOrm = defineCommand({
  type: 'UseOrm',
  schema: z.object({ behavior: z.string(), how: z.string() }),
  retry: { maximumAttempts: 1 },
  timeout: '5s',
  handle: (context: Context) => {
    const orm = orms[context.payload.how!]!(context.tx);
    return uses[context.payload.behavior]!(orm, context);
  },
});

const INSERT = `insert into effects values ('committed')`;

/** None of these may commit anything, no matter how the handler reacts to the error. */
const ending: Record<string, (tx: Transaction) => unknown> = {
  commit: (tx) => tx.query('commit'),
  'a swallowed commit': (tx) => tx.query('commit').catch(() => {}),
  end: (tx) => tx.query('END'),
  rollback: (tx) => tx.query('rollback'),
  abort: (tx) => tx.query('abort work'),
  'a commit that begins another transaction': (tx) => tx.query('commit and chain'),
  'a prepared transaction': (tx) => tx.query(`prepare transaction 'x'`),
  'a commit of a prepared transaction': (tx) => tx.query(`commit prepared 'x'`),
  'several statements': (tx) => tx.query(`${INSERT}; commit; begin`),
  'a whole transaction in a single text': (tx) => tx.query(`begin; ${INSERT}; commit`),
  'a commit after a comment': (tx) => tx.query('/* ; */ -- x\n commit'),
  'a config': (tx) => tx.query({ text: 'commit', values: [] }),
  'a named statement': (tx) => tx.query({ name: 'end-it', text: 'commit' }),
  'a callback': (tx) =>
    new Promise((resolve) => {
      const returned: unknown = tx.query('commit', (error: Error | null) => resolve(error?.message));
      assert.equal(returned, undefined);
    }),
  'a config with a callback': (tx) =>
    new Promise((resolve) => void tx.query({ text: 'commit', callback: resolve } as never)),
  'a query object': (tx) => {
    const query = new Query('commit');
    tx.query(query);
    return new Promise((resolve) => query.on('error', resolve));
  },
  'a cursor': (tx) =>
    tx
      .query(new Cursor('commit'))
      .read(1)
      .catch(() => {}),
  'a query object without a text': (tx) => void tx.query({ submit() {}, handleError() {} } as never),
  'one commit too many': async (tx) => {
    await tx.query('begin');
    await tx.query('commit');
    await tx.query('commit');
  },
  'statements that are not awaited': (tx) =>
    void ['commit', 'begin', INSERT, 'commit'].map((text) => void tx.query(text)),
};

const endIt = defineCommand({
  type: 'EndIt',
  schema: z.object({ behavior: z.string() }),
  retry: { maximumAttempts: 3, initialInterval: '10ms' },
  async handle({ payload, tx }) {
    await tx.query(INSERT);
    await ending[payload.behavior]!(tx);
  },
});

/** Postgres itself refuses these inside a transaction block. */
const refusedByPostgres: Record<string, string> = {
  'a DO block': `do $$ begin insert into effects values ('committed'); commit; end $$`,
  'a procedure': 'call commits_inside()',
};

/** TypeORM's types refuse it, but JavaScript can give a client instead of a query runner. */
async function typeOrmManager({ client }: Transaction): Promise<EntityManager> {
  const entity = new EntitySchema({ name: 'effects', columns: { what: { type: String, primary: true } } });
  const dataSource = new DataSource({ type: 'postgres', entities: [entity] });
  // Without a connection, which `initialize` would open.
  await (dataSource as unknown as { buildMetadatas(): Promise<void> }).buildMetadatas();
  return dataSource.createEntityManager(client as never);
}

/** These open connections of their own, which would not be part of the attempt's transaction. */
const openingConnections: Record<string, (context: Context) => Promise<unknown>> = {
  'a pool of pg': ({ tx }) => new Pool(tx.client as never).query(INSERT),
  'a client of pg': ({ tx }) => new Client(tx.client).connect(),
  'postgres.js': ({ tx }) => postgres(tx.client as never).unsafe(INSERT),
  'Drizzle on postgres.js': async ({ tx }) => drizzleOnPostgresJs(tx.client as never).execute(INSERT),
  'Drizzle with a connection': async ({ tx }) => drizzle({ connection: tx.client as never }).execute(INSERT),
  'TypeORM: query': async ({ tx }) => (await typeOrmManager(tx)).query(INSERT),
  'TypeORM: insert': async ({ tx }) => (await typeOrmManager(tx)).insert('effects', { what: 'lost' }),
  'TypeORM: save': async ({ tx }) => (await typeOrmManager(tx)).save('effects', { what: 'lost' }),
  'TypeORM: find': async ({ tx }) => (await typeOrmManager(tx)).find('effects'),
  'TypeORM: count': async ({ tx }) => (await typeOrmManager(tx)).count('effects'),
};

const other: Record<string, (context: Context) => Promise<unknown>> = {
  'a DO block': ({ tx }) => tx.query(refusedByPostgres['a DO block']!).then(() => 'done'),
  'a procedure': ({ tx }) => tx.query(refusedByPostgres['a procedure']!).then(() => 'done'),
  async 'a cursor'({ tx }) {
    await tx.query(new Cursor('select 1')).read(10);
  },
  async 'a relational query of Drizzle'({ tx }) {
    const effects = pgTable('effects', { what: textColumn().notNull() });
    const db = drizzle(tx.client, { schema: { effects } });
    await db.insert(effects).values({ what: 'kept' });
    return db.query.effects.findMany();
  },
  ...openingConnections,
  async callbacks({ tx }) {
    const query = (text: string, ...values: unknown[]) =>
      new Promise((resolve, reject) =>
        (tx.query as (...args: unknown[]) => unknown)(
          text,
          ...values,
          (error: Error | null, result: unknown) =>
            error ? reject(error) : resolve((result as { rows: unknown[] }).rows),
        ),
      );
    await query('begin');
    const failed = await query('select 1 / $1::int', [0]).catch((error: Error) => error.message);
    await query('rollback');
    return { failed, rows: (await query('select 1 as one')) as never };
  },
  async 'concurrent queries'({ tx }) {
    const answers = await Promise.all([1, 2, 3, 4, 5].map((n) => tx.query('select $1::int as n', [n])));
    return answers.map(({ rows: [row] }) => (row as { n: number }).n);
  },
};

const misc = defineCommand({
  type: 'Misc',
  schema: z.object({ behavior: z.string() }),
  retry: { maximumAttempts: 1 },
  handle: (context) => other[context.payload.behavior]!(context),
});

describe('a transaction inside an attempt’s transaction', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.pool.query('create table effects (what text not null)');
    await inbox.pool.query(
      `create procedure commits_inside() language plpgsql as $$ begin insert into effects values ('committed'); commit; end $$`,
    );
    await inbox.startWorker([useOrm, endIt, misc]);
  });
  after(async () => {
    await knex.destroy();
    await inbox.close();
  });

  let count = 0;
  async function run(commandType: string, payload: { behavior: string; how?: string }) {
    await inbox.pool.query('truncate effects');
    const messageId = inbox.id(`nested-${(count += 1)}`);
    const handle = await inbox.start(messageId, { commandType, payload });
    return { messageId, handle };
  }
  async function runUntilDead(commandType: string, payload: { behavior: string; how?: string }) {
    const { messageId } = await run(commandType, payload);
    const entry = await inbox.reaches(messageId, 'DeadLetter');
    return { messageId, entry, failures: await listFailures(inbox.pool, messageId) };
  }
  const effects = async () =>
    (await rows<{ what: string }>(inbox.pool, 'select what from effects')).map(({ what }) => what);

  for (const how of Object.keys(orms)) {
    describe(`with ${how}`, () => {
      for (const [behavior, kept] of [
        ['commits', ['kept before', 'kept inside', 'kept after']],
        ['rollsBackTheInnerPart', ['kept before', 'kept after']],
        ['survivesAFailedStatement', ['kept before', 'kept after']],
        ['nestsTwice', ['kept outer', 'kept inner']],
        ['rollsBackBoth', ['kept after']],
      ] as const) {
        it(`becomes a savepoint: ${behavior}`, async () => {
          const { handle } = await run('UseOrm', { behavior, how });
          assert.equal(await handle.result(), 'done');
          assert.deepEqual(await effects(), [...kept]);
        });
      }

      it('commits nothing if the handler fails afterwards, and a replay does the work once', async () => {
        const { messageId } = await runUntilDead('UseOrm', { behavior: 'failsAfterwards', how });
        assert.deepEqual(await effects(), []);
        await inbox.client.workflow.getHandle(messageId).signal('replay', {});
        await inbox.reaches(messageId, 'Completed');
        assert.deepEqual(await effects(), ['kept once']);
      });

      it('cannot have another isolation level, and the error says what to do', async () => {
        const { entry } = await runUntilDead('UseOrm', { behavior: 'isolates', how });
        assert.match(
          entry.error!,
          /^UnsupportedTransaction: .*a savepoint cannot be serializable: begin it without/,
        );
        assert.deepEqual(await effects(), []);
      });

      it('makes the attempt fail if it is left open', async () => {
        const { entry } = await runUntilDead('UseOrm', { behavior: 'leavesOneOpen', how });
        assert.match(entry.error!, /^ForgottenAwait: the handler returned (while|before)/);
        assert.deepEqual(await effects(), []);
      });

      it('works the same in a dry run', async () => {
        const { messageId } = await runUntilDead('UseOrm', { behavior: 'failsAfterwards', how });
        const [result] = await dryRun({
          databaseUrl: inbox.database.url,
          commands: [useOrm],
          messageIds: [messageId],
        });
        assert.equal(result?.outcome, 'completes');
        assert.deepEqual(await effects(), []);
      });
    });
  }

  for (const behavior of Object.keys(ending)) {
    it(`must be open before a COMMIT or ROLLBACK; otherwise the command becomes a dead letter: ${behavior}`, async () => {
      const { entry } = await runUntilDead('EndIt', { behavior });
      assert.match(
        entry.error!,
        /^TransactionEnded: the handler sent .*remove the statement, or send BEGIN before it/s,
      );
      assert.equal(entry.attempt, 1);
      assert.deepEqual(await effects(), []);
    });
  }

  for (const behavior of Object.keys(refusedByPostgres)) {
    it(`cannot be committed inside ${behavior}`, async () => {
      const { entry } = await runUntilDead('Misc', { behavior });
      assert.match(entry.error!, /^SQLSTATE 2D000: invalid transaction termination/);
      assert.deepEqual(await effects(), []);
    });
  }

  it('does not support cursors, and the error says so', async () => {
    const { entry } = await runUntilDead('Misc', { behavior: 'a cursor' });
    assert.match(entry.error!, /cursors and streams do not work on it: read with LIMIT/);
  });

  for (const behavior of Object.keys(openingConnections)) {
    it(`cannot include what opens its own connections, and the error says so: ${behavior}`, async () => {
      const { entry } = await runUntilDead('Misc', { behavior });
      assert.match(
        entry.error!,
        /^InboxError: tx\.client is the connection of one attempt and cannot be used as the config/,
      );
      assert.deepEqual(await effects(), []);
    });
  }

  it('reads with the relational queries of Drizzle, which need the schema in its settings', async () => {
    const { handle } = await run('Misc', { behavior: 'a relational query of Drizzle' });
    assert.deepEqual(await handle.result(), [{ what: 'kept' }]);
  });

  it('works with callbacks', async () => {
    const { handle } = await run('Misc', { behavior: 'callbacks' });
    assert.deepEqual(await handle.result(), { failed: 'division by zero', rows: [{ one: 1 }] });
  });

  it('answers concurrent queries', async () => {
    const { handle } = await run('Misc', { behavior: 'concurrent queries' });
    assert.deepEqual(await handle.result(), [1, 2, 3, 4, 5]);
  });
});
