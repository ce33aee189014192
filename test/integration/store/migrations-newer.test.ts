import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { SchemaError } from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import { createLog } from '../../../src/platform/log.ts';
import { checkSchema, migrate, readMigrations } from '../../../src/store/migrate.ts';
import { createOutboxRelay } from '../../../src/outbox/relay.ts';
import { prune } from '../../../src/retention/retention.ts';
import { runCli } from '../../support/cli.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { createTestInbox } from '../../support/inbox.ts';
import { migration } from '../../support/migration.ts';
import { gate } from '../../support/wait.ts';

const note = defineCommand({ type: 'Note', schema: z.object({}), handle: async () => null });

/** In these tests, this package is the older release: the database has a migration that this package does not know. */
describe('a database migrated by a newer release', () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createTestDatabase();
  });
  afterEach(() => database.drop());

  async function migrateAsNewer(options: { breaking: boolean }, { pool } = database) {
    const known = await readMigrations();
    const newer = migration(
      known.length + 1,
      'create table inbox.future (); alter table inbox.entries add column future text',
      options,
    );
    await migrate(pool, [...known, newer]);
    return { known, newer };
  }

  const log = createLog('error', () => {});
  const cli = (...args: string[]) => runCli(args, { DATABASE_URL: database.url });
  async function relayOneEvent() {
    await database.pool.query(
      "insert into inbox.outbox (message_id, aggregatetype, aggregateid, type, payload) values ('m', 'a', '1', 'Happened', '{}')",
    );
    const { opened: published, open } = gate();
    const relay = createOutboxRelay({ databaseUrl: database.url, publish: async () => open(), log });
    const running = relay.run();
    await Promise.race([running, published]);
    relay.stop();
    await running;
  }

  /** Everything that starts on a schema. */
  const starts: [name: string, start: () => Promise<unknown>][] = [
    ['createInbox', async () => (await createInbox({ pool: database.pool, log })).close()],
    ['prune', () => prune(database.pool, { completedOlderThanMs: 3_600_000 })],
    ['createOutboxRelay', relayOneEvent],
  ];

  it('is accepted if no newer migration is breaking', async () => {
    const { known, newer } = await migrateAsNewer({ breaking: false });
    const state = await checkSchema(database.pool);
    assert.equal(state.version, known.length + 1);
    assert.deepEqual(
      state.newer.map(({ name, breaking }) => [name, breaking]),
      [[newer.name, false]],
    );
    const report = await migrate(database.pool);
    assert.deepEqual([report.applied, report.version], [[], known.length + 1]);
  });

  for (const [name, start] of starts) {
    it(`is accepted by ${name} if it is compatible`, async () => {
      await migrateAsNewer({ breaking: false });
      await start();
    });
    it(`is refused by ${name} if it is not compatible`, async () => {
      await migrateAsNewer({ breaking: true });
      await assert.rejects(start(), SchemaError);
    });
  }

  it('lets workers start and handle commands only if it is compatible', async () => {
    const inbox = await createTestInbox();
    try {
      const { known, newer } = await migrateAsNewer({ breaking: false }, inbox.database);
      await inbox.startWorker([note]);
      const id = inbox.id('on-newer');
      await inbox.start(id, { commandType: note.type, payload: {} });
      await inbox.reaches(id, 'Completed');
      const later = migration(known.length + 2, 'drop table inbox.future', { breaking: true });
      await migrate(inbox.pool, [...known, newer, later]);
      await assert.rejects(inbox.startWorker([note]), SchemaError);
    } finally {
      await inbox.close();
    }
  });

  it('is reported by `inbox migrate` and `inbox doctor`', async () => {
    const { known } = await migrateAsNewer({ breaking: false });
    const version = known.length + 1;
    const migrated = await cli('migrate');
    assert.equal(migrated.code, 0, migrated.stderr);
    assert.equal(
      migrated.stdout,
      `the inbox's schema is at version ${version}, newer than this package and compatible with it, nothing to do\n`,
    );
    const doctor = JSON.parse((await cli('doctor', '--json')).stdout) as { name: string; finding: string }[];
    assert.equal(
      doctor.find(({ name }) => name === 'schema')!.finding,
      `is at version ${version}, newer than this package (version ${known.length}) and compatible with it`,
    );
    assert.equal((await cli('list')).code, 0);
    assert.equal((await cli('send', 'Note', '--id', 'one', '--payload', '1')).code, 0);
  });

  it('is refused with a remedy if a newer migration is breaking', async () => {
    const { known, newer } = await migrateAsNewer({ breaking: true });
    for (const command of [['migrate'], ['list'], ['send', 'Note', '--id', 'one', '--payload', '1']]) {
      const { code, stderr } = await cli(...command);
      assert.equal(code, 1);
      assert.match(stderr, new RegExp(`schema version ${known.length + 1}.*knows version ${known.length}`));
      assert.ok(stderr.includes(newer.name), stderr);
      assert.match(stderr, /Upgrade temporal-inbox/);
    }
    const doctor = JSON.parse((await cli('doctor', '--json')).stdout) as { name: string; ok: boolean }[];
    assert.equal(doctor.find(({ name }) => name === 'schema')!.ok, false);
  });

  it('is refused if a breaking migration is followed by a compatible one', async () => {
    const { known, newer } = await migrateAsNewer({ breaking: true });
    const later = migration(known.length + 2, 'create table inbox.later ()', { breaking: false });
    await migrate(database.pool, [...known, newer, later]);
    await assert.rejects(checkSchema(database.pool), (error) => {
      assert.ok(error instanceof SchemaError);
      assert.ok(error.message.includes(newer.name) && !error.message.includes(later.name), error.message);
      return true;
    });
  });

  it('is refused if the newer release did not record whether its migration is breaking', async () => {
    const { length } = await readMigrations();
    await database.pool.query('alter table inbox.migrations drop column if exists breaking');
    await checkSchema(database.pool);
    await database.pool.query(
      "insert into inbox.migrations (version, name, checksum) values ($1, 'x.sql', '')",
      [length + 1],
    );
    await assert.rejects(checkSchema(database.pool), /a newer temporal-inbox applied x\.sql/);
  });

  it('is refused if the row of an earlier migration is missing', async () => {
    await migrateAsNewer({ breaking: false });
    await database.pool.query('delete from inbox.migrations where version = 3');
    await assert.rejects(
      checkSchema(database.pool),
      /no row for 0003_retention\.sql, although later migrations/,
    );
    await assert.rejects(migrate(database.pool), SchemaError);
  });
});
