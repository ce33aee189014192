import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { sqlState } from '../../../src/platform/postgres.ts';
import { SchemaError } from '../../../src/core/errors.ts';
import { checkSchema, migrate, readMigrations } from '../../../src/store/migrate.ts';
import { appliedMigrations } from '../../../src/store/migrations.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { migration } from '../../support/migration.ts';
import { rows } from '../../support/inbox.ts';

const ONE = migration(1, 'create table inbox.one (id integer); insert into inbox.one values (1)');
const TWO = migration(2, 'alter table inbox.one add column two text');
const FAILS = migration(
  2,
  'create table inbox.two (id integer); insert into inbox.one values (2); select 1/0',
);

describe('migrations', () => {
  let database: TestDatabase;

  beforeEach(async () => {
    database = await createTestDatabase('empty');
  });
  afterEach(() => database.drop());

  const tables = async () =>
    (
      await rows<{ name: string }>(
        database.pool,
        "select table_name as name from information_schema.tables where table_schema = 'inbox' order by 1",
      )
    ).map(({ name }) => name);

  it('bring an empty database to the version of this package, and then find nothing to do', async () => {
    const known = await readMigrations();
    const first = await migrate(database.pool);
    assert.deepEqual(
      first.applied.map(({ name }) => name),
      known.map(({ name }) => name),
    );
    assert.equal(first.version, known.length);
    await checkSchema(database.pool);

    const second = await migrate(database.pool);
    assert.deepEqual(second, { applied: [], version: known.length, newer: [] });
    const recorded = await appliedMigrations(database.pool);
    assert.deepEqual(
      recorded.map(({ checksum }) => checksum),
      known.map(({ checksum }) => checksum),
    );
  });

  it('apply only what is missing', async () => {
    await migrate(database.pool, [ONE]);
    const { applied, version } = await migrate(database.pool, [ONE, TWO]);
    assert.deepEqual([applied, version], [[TWO], 2]);
  });

  for (const migrators of [2, 5]) {
    it(`are applied once by ${migrators} migrators at once`, async () => {
      const reports = await Promise.all(
        Array.from({ length: migrators }, () => migrate(database.pool, [ONE, TWO])),
      );
      assert.deepEqual(reports.flatMap(({ applied }) => applied.map(({ name }) => name)).sort(), [
        ONE.name,
        TWO.name,
      ]);
      assert.ok(reports.every(({ version }) => version === 2));
      assert.equal((await rows(database.pool, 'select from inbox.one')).length, 1);
    });
  }

  it('leave nothing behind if they fail, and run once they are fixed', async () => {
    await migrate(database.pool, [ONE]);
    await assert.rejects(migrate(database.pool, [ONE, FAILS]), (error) => sqlState(error) === '22012');
    assert.deepEqual(await tables(), ['migrations', 'one']);
    assert.equal((await rows(database.pool, 'select from inbox.one')).length, 1);
    assert.equal((await appliedMigrations(database.pool)).length, 1);

    const { applied } = await migrate(database.pool, [ONE, TWO]);
    assert.deepEqual(applied, [TWO]);
  });

  it('create no schema if the first one fails', async () => {
    await assert.rejects(migrate(database.pool, [migration(1, 'create table inbox.one (id nonsense)')]));
    assert.deepEqual(await rows(database.pool, "select from pg_namespace where nspname = 'inbox'"), []);
  });

  it('refuse a database if an applied migration was edited', async () => {
    await migrate(database.pool, [ONE]);
    const edited = migration(1, `${ONE.sql} -- edited`);
    await assert.rejects(migrate(database.pool, [edited, TWO]), (error) => {
      assert.ok(error instanceof SchemaError);
      assert.match(error.message, /0001_test\.sql is not the file that was applied/);
      return true;
    });
    assert.equal((await appliedMigrations(database.pool)).length, 1, 'a later migration was applied');
  });

  it('are requested by the worker’s check of an empty database, which changes nothing', async () => {
    await assert.rejects(checkSchema(database.pool), (error) => {
      assert.ok(error instanceof SchemaError);
      assert.match(error.message, /lacks migration 0001_inbox\.sql; run `inbox migrate`/);
      return true;
    });
    assert.deepEqual(await rows(database.pool, "select from pg_namespace where nspname = 'inbox'"), []);
  });

  it('stop the worker if one was edited', async () => {
    await migrate(database.pool);
    await database.pool.query("update inbox.migrations set checksum = 'another' where version = 1");
    await assert.rejects(checkSchema(database.pool), /0001_inbox\.sql is not the file/);
  });
});

describe('migration files', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'inbox-migrations-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const read = async (...names: string[]) => {
    for (const name of names) await writeFile(join(folder, name), `-- ${name}`);
    return readMigrations(pathToFileURL(`${folder}/`));
  };
  /** Writes twelve files that need no declaration and a thirteenth with this text, and reads the thirteenth. */
  const readLast = async (text: string) => {
    for (let number = 1; number <= 12; number += 1)
      await writeFile(join(folder, `${String(number).padStart(4, '0')}_a.sql`), 'select 1');
    await writeFile(join(folder, '0013_last.sql'), text);
    return (await readMigrations(pathToFileURL(`${folder}/`))).at(-1)!;
  };

  it('are read in the order of their numbers, with the checksum of their bytes', async () => {
    const [first, second] = await read('0002_b.sql', '0001_a.sql', 'README.md');
    assert.deepEqual([first!.version, first!.name], [1, '0001_a.sql']);
    assert.equal(first!.checksum, createHash('sha256').update('-- 0001_a.sql').digest('hex'));
    assert.deepEqual([second!.version, second!.sql], [2, '-- 0002_b.sql']);
  });

  for (const breaking of [true, false]) {
    it(`declare that they are ${breaking ? 'breaking' : 'compatible'}`, async () => {
      const read13 = await readLast(`-- Why it is needed.\r\n-- breaking: ${breaking}\r\nselect 13`);
      assert.equal(read13.breaking, breaking);
    });
  }

  for (const [problem, text] of [
    ['without a declaration', 'select 13'],
    ['with an invalid declaration', '-- breaking: maybe\nselect 13'],
    ['with a declaration inside a statement', "select '-- breaking: false'"],
  ] as const) {
    it(`are refused ${problem}`, async () => {
      await assert.rejects(
        readLast(text),
        (error) => error instanceof SchemaError && error.message.startsWith('0013_last.sql: add the line'),
      );
    });
  }

  for (const [problem, names] of [
    ['a gap', ['0001_a.sql', '0003_c.sql']],
    ['a duplicate number', ['0001_a.sql', '0001_b.sql']],
    ['no number', ['0001_a.sql', 'b.sql']],
    ['a start above 1', ['0002_a.sql']],
  ] as const) {
    it(`are refused with ${problem}`, async () => {
      await assert.rejects(
        read(...names),
        (error) => error instanceof SchemaError && /without a gap/.test(error.message),
      );
    });
  }
});
