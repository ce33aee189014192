import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Pool } from 'pg';
import { createPool } from '../../../src/platform/postgres.ts';
import { startPostgresServer } from '../../../src/dev/postgres/server.ts';
import type { PostgresServer } from '../../../src/dev/postgres/server.ts';
import { SchemaError } from '../../../src/core/errors.ts';
import { createLog } from '../../../src/platform/log.ts';
import { checkSchema, migrate, readMigrations } from '../../../src/store/migrate.ts';
import { runCli } from '../../support/cli.ts';
import { rows } from '../../support/inbox.ts';
import { migration } from '../../support/migration.ts';

/** Uses its own cluster, so that roles and databases can have settings, and no login can create roles. */
describe('migrating', () => {
  let server: PostgresServer;
  let superuser: Pool;
  const log = createLog('error', () => {});

  before(async () => {
    server = await startPostgresServer({ settings: { fsync: 'off', max_prepared_transactions: '2' } });
    superuser = createPool({ connectionString: server.url, max: 2, applicationName: 'inbox tests' });
    await superuser.query(`
      create role owning login password 'x';
      create role plain login password 'x';
      create role member login password 'x' in role owning;
      create role distant login noinherit password 'x' in role owning;
      create role weak;
      create role posing login password 'x' in role weak;
      alter role posing set role = 'weak';
      create role acting login password 'x' in role owning;
      alter role acting set role = 'owning'`);
  });
  after(async () => {
    await superuser.end();
    await server.stop();
  });

  function urlOf(login: string | null, database: string): string {
    const url = new URL(server.url);
    if (login !== null) {
      url.username = login;
      url.password = 'x';
    }
    url.pathname = `/${database}`;
    return url.href;
  }

  /** Runs SQL as the superuser in a database. */
  async function asSuperuser(database: string, sql: string): Promise<void> {
    await using(null, database, (pool) => pool.query(sql));
  }

  /** Runs `work` as a login; null is the superuser. */
  async function using<T>(
    login: string | null,
    database: string,
    work: (pool: Pool) => Promise<T>,
  ): Promise<T> {
    const pool = createPool({
      connectionString: urlOf(login, database),
      max: 2,
      applicationName: 'inbox tests',
    });
    try {
      return await work(pool);
    } finally {
      await pool.end();
    }
  }

  /** Creates a database in which logins can do nothing but connect. */
  async function createDatabase(name: string, sql = ''): Promise<string> {
    await superuser.query(`create database ${name}`);
    await asSuperuser(
      name,
      `revoke all on database ${name} from public; revoke all on schema public from public;
       grant connect on database ${name} to owning, plain, member, distant, posing, acting; ${sql}`,
    );
    return name;
  }

  /** This setting is new in Postgres 17. */
  const hasTransactionTimeout = async () =>
    (await rows(superuser, "select from pg_settings where name = 'transaction_timeout'")).length === 1;

  const BY_DBA = 'create schema inbox authorization owning';
  const owners = (database: string) =>
    using(null, database, (pool) =>
      rows<{ owner: string }>(
        pool,
        `select distinct relowner::regrole::text as owner from pg_class where relnamespace = 'inbox'::regnamespace
         union select distinct proowner::regrole::text from pg_proc where pronamespace = 'inbox'::regnamespace`,
      ),
    );

  /** Everything that migrations create, as text. */
  const description = (database: string) =>
    using(null, database, (pool) =>
      rows<{ what: string }>(
        pool,
        `select 'function ' || proname || prosrc || coalesce(proconfig::text, '') as what
         from pg_proc where pronamespace = 'inbox'::regnamespace
         union all select 'default ' || adrelid::regclass || adnum || pg_get_expr(adbin, adrelid)
         from pg_attrdef join pg_class c on c.oid = adrelid where c.relnamespace = 'inbox'::regnamespace
         union all select 'constraint ' || conname || pg_get_constraintdef(oid)
         from pg_constraint where connamespace = 'inbox'::regnamespace
         union all select 'index ' || indexdef from pg_indexes where schemaname = 'inbox'
         union all select 'column ' || attrelid::regclass || attname || format_type(atttypid, atttypmod)
         from pg_attribute join pg_class c on c.oid = attrelid
         where c.relnamespace = 'inbox'::regnamespace and not attisdropped
         order by what`,
      ),
    );

  for (const [login, name] of [
    ['owning', 'the owner of the schema'],
    ['member', 'a member of the role that owns it'],
    ['distant', 'a member that does not inherit its rights'],
    ['acting', 'a login that always acts as the owner'],
    [null, 'a superuser'],
  ] as const) {
    it(`works in a schema that a DBA created, for ${name}`, async () => {
      const database = await createDatabase(`dba_${login ?? 'superuser'}`, BY_DBA);
      const known = await readMigrations();
      await using(login, database, async (pool) => {
        assert.equal((await migrate(pool)).applied.length, known.length);
        assert.deepEqual((await migrate(pool)).applied, []);
      });
      await using('owning', database, checkSchema);
      assert.deepEqual(await owners(database), [{ owner: 'owning' }]);
      const later = migration(known.length + 1, 'alter table inbox.entries add column later text');
      await using('owning', database, (pool) => migrate(pool, [...known, later]));
    });
  }

  it('works for a login that may create objects in a schema owned by another role', async () => {
    const database = await createDatabase(
      'granted',
      `${BY_DBA}; grant usage, create on schema inbox to plain`,
    );
    await using('plain', database, (pool) => migrate(pool));
    assert.deepEqual(await owners(database), [{ owner: 'plain' }]);
    assert.deepEqual((await using('plain', database, (pool) => migrate(pool))).applied, []);
  });

  it('continues as the role that ran the first migrations, not as the owner of the schema', async () => {
    const database = await createDatabase('mixed', `${BY_DBA}; grant usage, create on schema inbox to plain`);
    const known = await readMigrations();
    await using('plain', database, (pool) => migrate(pool, known.slice(0, 3)));
    await using(null, database, (pool) => migrate(pool, known));
    assert.deepEqual(await owners(database), [{ owner: 'plain' }]);
  });

  it('runs as the login itself if the role from its settings may not create the schema', async () => {
    const database = await createDatabase('posing', 'grant create on database posing to posing');
    await using('posing', database, (pool) => migrate(pool));
    assert.deepEqual(await owners(database), [{ owner: 'posing' }]);
  });

  it('needs nothing but SELECT on inbox.migrations when there is nothing to do', async () => {
    const database = await createDatabase('idle', BY_DBA);
    await using('owning', database, (pool) => migrate(pool));
    await asSuperuser(
      database,
      'grant usage on schema inbox to plain; grant select on inbox.migrations to plain',
    );
    const { length } = await readMigrations();
    assert.equal((await using('plain', database, (pool) => migrate(pool))).version, length);
    const { code, stdout } = await runCli(['migrate'], { DATABASE_URL: urlOf('plain', database) });
    assert.deepEqual([code, stdout], [0, `the inbox's schema is at version ${length}, nothing to do\n`]);
  });

  it('names who can migrate if the login may not', async () => {
    const database = await createDatabase('refused');
    for (const prepare of ['', `${BY_DBA}; grant usage on schema inbox to plain`]) {
      await asSuperuser(database, prepare);
      await assert.rejects(
        using('plain', database, (pool) => migrate(pool)),
        (error) => {
          assert.ok(error instanceof SchemaError);
          assert.match(
            error.message,
            /lacks migration 0001_inbox\.sql.* may not apply it \(permission denied for/,
          );
          assert.match(error.message, /run `inbox migrate` as the owner.*`create schema inbox authorization/);
          return true;
        },
      );
    }
  });

  /**
   * Each setting could abort a migration or change what it does. Settings that this version of Postgres does not have are
   * skipped. The timeouts apply until the migration has set its own, which takes a while on a busy machine.
   */
  const SETTINGS: Record<string, string>[] = [
    {
      statement_timeout: "'2s'",
      lock_timeout: "'1ms'",
      transaction_timeout: "'2s'",
      idle_in_transaction_session_timeout: "'2s'",
    },
    {
      default_transaction_read_only: 'on',
      default_transaction_isolation: 'serializable',
      default_transaction_deferrable: 'on',
    },
    {
      search_path: 'traps, public, pg_catalog',
      row_security: 'off',
      standard_conforming_strings: 'off',
      transform_null_equals: 'on',
      check_function_bodies: 'off',
      quote_all_identifiers: 'on',
      array_nulls: 'off',
      datestyle: "'SQL, DMY'",
      timezone: "'Asia/Kathmandu'",
      synchronous_commit: 'off',
    },
  ];
  /** These functions shadow the built-in ones if their schema comes before pg_catalog in the search_path. */
  const TRAPS = `
    create schema traps; grant usage on schema traps to public;
    create function traps.now() returns timestamptz language sql as 'select null::timestamptz';
    create function traps.set_config(text, text, boolean) returns text language sql as 'select null::text';
    create function traps.sha256(bytea) returns bytea language sql as 'select null::bytea'`;

  it('does not depend on the settings of the login or the database', async () => {
    await createDatabase('ordinary', BY_DBA);
    await using('owning', 'ordinary', (pool) => migrate(pool));
    const expected = await description('ordinary');
    assert.ok(expected.length > 100);
    const known = await readMigrations();
    for (const [number, group] of SETTINGS.entries()) {
      const seconds = 'statement_timeout' in group ? 2.2 : 0;
      const slow = migration(known.length + 1, `select pg_catalog.pg_sleep(${seconds})`);
      for (const kind of ['role', 'database']) {
        const database = await createDatabase(`settings_${kind}_${number}`, `${BY_DBA}; ${TRAPS}`);
        const of = kind === 'role' ? `role owning in database ${database}` : `database ${database}`;
        for (const [name, value] of Object.entries(group)) {
          if (name === 'transaction_timeout' && !(await hasTransactionTimeout())) continue;
          await superuser.query(`alter ${of} set ${name} = ${value}`);
        }
        const report = await using('owning', database, (pool) => migrate(pool, [...known, slow], { log }));
        assert.equal(report.applied.length, known.length + 1);
        await superuser.query(`alter ${of} reset all`);
        assert.deepEqual(await description(database), expected, Object.keys(group).join());
      }
    }
  });

  it('names a prepared transaction that blocks it', async () => {
    const database = await createDatabase('prepared', BY_DBA);
    const one = migration(1, 'create table inbox.one (id integer)');
    const two = migration(2, 'alter table inbox.one add column two text');
    await using('owning', database, async (pool) => {
      await migrate(pool, [one]);
      await pool.query("begin; lock table inbox.one; prepare transaction 'inbox-migrations'");
      await assert.rejects(
        migrate(pool, [one, two], { log, lockTimeoutMs: 300, waitMs: 200 }),
        /blocked by a prepared transaction \(see pg_prepared_xacts\)/,
      );
      await pool.query("rollback prepared 'inbox-migrations'");
      assert.deepEqual((await migrate(pool, [one, two])).applied, [two]);
    });
  });

  it('finds nothing to do on a standby, and refuses to migrate one', async () => {
    const database = await createDatabase('standby', BY_DBA);
    const known = await readMigrations();
    await using('owning', database, (pool) => migrate(pool));
    await writeFile(join(server.dataDir, 'pgdata', 'standby.signal'), '');
    await server.restart();
    await using('owning', database, async (pool) => {
      assert.deepEqual(await rows(pool, 'select pg_is_in_recovery() as standby'), [{ standby: true }]);
      assert.deepEqual((await migrate(pool)).applied, []);
      await checkSchema(pool);
      const later = migration(known.length + 1, 'create table inbox.later ()');
      await assert.rejects(migrate(pool, [...known, later]), (error) => {
        assert.ok(error instanceof SchemaError);
        assert.match(error.message, /is a read-only standby; run `inbox migrate` against the primary/);
        return true;
      });
    });
  });
});
