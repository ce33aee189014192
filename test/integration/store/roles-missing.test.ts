import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Pool } from 'pg';
import { createPool } from '../../../src/platform/postgres.ts';
import { startPostgresServer } from '../../../src/dev/postgres/server.ts';
import type { PostgresServer } from '../../../src/dev/postgres/server.ts';
import { checkRoles } from '../../../src/health/roles.ts';
import { migrate } from '../../../src/store/migrate.ts';
import { ROLES } from '../../../src/store/roles.ts';
import { runCli } from '../../support/cli.ts';

const open = (connectionString: string) =>
  createPool({ connectionString, max: 2, applicationName: 'inbox tests' });

/** Uses its own cluster: in the cluster of the other tests, the roles already exist and are never dropped. */
describe('migrating a cluster without the roles', () => {
  let server: PostgresServer;
  let superuser: Pool;

  before(async () => {
    server = await startPostgresServer({ settings: { fsync: 'off' } });
    superuser = open(server.url);
    await superuser.query(`create role plain login password 'owner'`);
    await superuser.query(`create role creator login createrole password 'owner'`);
  });
  after(async () => {
    await superuser.end();
    await server.stop();
  });

  function urlOf(owner: string, database: string): string {
    const url = new URL(server.url);
    url.username = owner;
    url.password = 'owner';
    url.pathname = `/${database}`;
    return url.href;
  }

  it('works for a user who may not create roles, and doctor reports what is left to do', async () => {
    await superuser.query('create database without owner plain');
    await superuser.query('revoke connect on database without from public');
    const url = urlOf('plain', 'without');
    const pool = open(url);
    await migrate(pool);

    const left = await checkRoles(pool);
    assert.equal(left.finding, `missing: ${ROLES.join(', ')}`);
    const [, create] = /may create roles: (.+) then, as the owner/.exec(left.remedy!)!;
    const { stdout } = await runCli(['doctor', '--json'], { DATABASE_URL: url });
    const findings = JSON.parse(stdout) as { name: string; remedy: string }[];
    assert.equal(findings.find(({ name }) => name === 'roles')!.remedy, left.remedy);

    await superuser.query(create!);
    assert.match((await checkRoles(pool)).finding, /^without rights in this database: inbox_sender, /);
    await pool.query('select inbox.grant_roles()');
    assert.equal((await checkRoles(pool)).remedy, null);

    await superuser.query(`create role sending login password 'owner' in role inbox_sender`);
    const sender = open(urlOf('sending', 'without'));
    await sender.query(`select inbox.send('one', 'Pay', '{}')`);
    await sender.end();
    await pool.end();
  });

  it('creates the roles once when four databases are migrated at the same time', async () => {
    await superuser.query('drop database if exists without');
    await superuser.query(`drop role if exists ${ROLES.join(', ')}`);
    const names = ['one', 'two', 'three', 'four'];
    for (const name of names) await superuser.query(`create database ${name} owner creator`);
    const pools = names.map((name) => open(urlOf('creator', name)));
    await Promise.all(pools.map((pool) => migrate(pool)));
    for (const pool of pools) {
      assert.equal((await checkRoles(pool)).remedy, null);
      await pool.end();
    }
    const owner = open(urlOf('creator', 'one'));
    await owner.query('create role working login; grant inbox_worker to working');
    await owner.end();
  });
});
