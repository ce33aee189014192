import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sqlState } from '../../../src/platform/postgres.ts';
import { IdempotencyConflictError } from '../../../src/core/errors.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import { auditTrail, stats } from '../../../src/operations/index.ts';
import { ROLES } from '../../../src/store/roles.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { rows } from '../../support/inbox.ts';
import { createLogin } from '../../support/login.ts';
import type { TestLogin } from '../../support/login.ts';
import {
  COLUMN_RIGHTS,
  FUNCTION_RIGHTS,
  HIDDEN_FROM_READERS,
  TABLE_RIGHTS,
} from '../../support/role-rights.ts';
import type { Operation, Role } from '../../support/role-rights.ts';

const DENIED = '42501';
const HOW_TO_GRANT = 'decide what each role may do with it, in inbox.grant_roles() by a new migration and in';

describe('the roles of the schema', () => {
  let database: TestDatabase;
  const logins = {} as Record<Role, TestLogin>;

  before(async () => {
    database = await createTestDatabase();
    for (const role of ROLES) logins[role] = await createLogin(database, role);
  });
  after(async () => {
    for (const login of Object.values(logins)) await login.drop();
    await database.drop();
  });

  const tables = () =>
    rows<{ table: string; column: string }>(
      database.pool,
      `select c.relname as table, (select quote_ident(attname) from pg_attribute where attrelid = c.oid and attnum = 1) as column
       from pg_class c where c.relnamespace = 'inbox'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f') order by 1`,
    );
  /** A right on some columns is enough for a statement that names only those, so check the right on the whole table too. */
  const mayWriteWholeRows = async (role: Role, operation: string, table: string) => {
    if (!['insert', 'update'].includes(operation)) return true;
    const [answer] = await rows<{ may: boolean }>(
      database.pool,
      `select has_table_privilege($1, 'inbox.' || $2::text, $3) as may`,
      [role, table, operation],
    );
    return answer!.may;
  };

  it('have exactly the listed rights on each table', async () => {
    for (const { table, column } of await tables()) {
      const rights = TABLE_RIGHTS[table];
      assert.ok(rights, `no rights are listed for inbox.${table}: ${HOW_TO_GRANT} TABLE_RIGHTS`);
      for (const role of ROLES) {
        const allowed: string[] = [];
        for (const [operation, statement] of Object.entries(statements(table, column))) {
          if ((await mayRun(logins[role], statement)) && (await mayWriteWholeRows(role, operation, table)))
            allowed.push(operation);
        }
        assert.deepEqual(allowed, rights[role] ?? [], `${role} on inbox.${table}`);
      }
    }
  });

  it('may write exactly the listed columns', async () => {
    const found = await rows<{ right: string; columns: string[] }>(
      database.pool,
      `select role || ' ' || operation || ' ' || c.relname as right, array_agg(a.attname::text order by a.attname) as columns
       from unnest($1::text[]) as role, unnest('{insert,update}'::text[]) as operation, pg_class c
       join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       where c.relnamespace = 'inbox'::regnamespace and c.relkind in ('r', 'p')
         and has_column_privilege(role, c.oid, a.attnum, operation) and not has_table_privilege(role, c.oid, operation)
       group by role, operation, c.relname`,
      [ROLES],
    );
    assert.deepEqual(Object.fromEntries(found.map(({ right, columns }) => [right, columns])), COLUMN_RIGHTS);
  });

  it('cannot lock a table in a mode that makes others wait', async () => {
    const modes = ['share update exclusive', 'share', 'share row exclusive', 'exclusive', 'access exclusive'];
    for (const { table } of await tables()) {
      for (const role of ROLES) {
        for (const mode of modes) {
          const statement = `lock table inbox.${table} in ${mode} mode`;
          assert.equal(await mayRun(logins[role], statement), false, `${role}: ${statement}`);
        }
      }
    }
  });

  it('hide from readers exactly the columns that contain or may repeat the contents of a command', async () => {
    const hidden = await rows<{ table: string; columns: string[] }>(
      database.pool,
      `select c.relname as table, array_agg(a.attname::text order by a.attname) as columns
       from pg_class c join pg_attribute a on a.attrelid = c.oid
       where c.relnamespace = 'inbox'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
         and c.relname = any ($1) and not has_column_privilege('inbox_reader', c.oid, a.attnum, 'select')
       group by c.relname`,
      [Object.keys(TABLE_RIGHTS).filter((table) => TABLE_RIGHTS[table]!.inbox_reader)],
    );
    const expected = Object.entries(HIDDEN_FROM_READERS).map(([table, columns]) => [table, columns.sort()]);
    assert.deepEqual(
      Object.fromEntries(hidden.map(({ table, columns }) => [table, columns])),
      Object.fromEntries(expected),
      `for a new column ${HOW_TO_GRANT} HIDDEN_FROM_READERS`,
    );
    const { pool } = logins.inbox_reader;
    await pool.query('select message_id, status from inbox.entries');
    await stats(pool);
    await database.pool.query(
      `with sent as (select inbox.send('replayed', 'Pay', '{}'))
       insert into inbox.audit (action, message_id, actor, details)
       select 'replay', 'replayed', 'ada', '{"changes": [{"path": "iban", "to": "DE02"}]}' from sent`,
    );
    const [read] = await auditTrail(pool, { limit: 1 });
    assert.deepEqual([read!.messageId, read!.actor, read!.details], ['replayed', 'ada', null]);
    const [seen] = await auditTrail(logins.inbox_operator.pool, { limit: 1 });
    assert.deepEqual(seen!.details, { changes: [{ path: 'iban', to: 'DE02' }] });
    for (const [table, columns] of Object.entries(HIDDEN_FROM_READERS)) {
      for (const what of [...columns, '*', `to_jsonb(${table})`]) {
        await assert.rejects(pool.query(`select ${what} from inbox.${table}`), denied, `${table}.${what}`);
      }
    }
  });

  it('may execute exactly the listed functions', async () => {
    const functions = await rows<{ name: string; roles: Role[] }>(
      database.pool,
      `select proname as name, array(select role from unnest($1::text[]) with ordinality as r (role, place)
         where has_function_privilege(role, p.oid, 'execute') order by place) as roles
       from pg_proc p where pronamespace = 'inbox'::regnamespace`,
      [ROLES],
    );
    for (const { name, roles } of functions) {
      assert.deepEqual(roles, FUNCTION_RIGHTS[name] ?? [], `inbox.${name}: ${HOW_TO_GRANT} FUNCTION_RIGHTS`);
    }
  });

  it('grant nothing in the schema to PUBLIC', async () => {
    const granted = await rows(
      database.pool,
      `select object, privilege_type from (
         select oid::regnamespace::text as object, coalesce(nspacl, acldefault('n', nspowner)) as acl
         from pg_namespace where nspname = 'inbox'
         union all select oid::regclass::text, coalesce(relacl, acldefault('r', relowner))
         from pg_class where relnamespace = 'inbox'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S')
         union all select oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner))
         from pg_proc where pronamespace = 'inbox'::regnamespace
         union all select oid::regtype::text, coalesce(typacl, acldefault('T', typowner))
         from pg_type where typnamespace = 'inbox'::regnamespace and typtype in ('e', 'd')
       ) as objects, aclexplode(acl) where grantee = 0`,
    );
    assert.deepEqual(granted, []);
  });

  it('use only functions with a pinned search_path', async () => {
    const open = await rows(
      database.pool,
      `select oid::regprocedure::text as function from pg_proc
       where pronamespace = 'inbox'::regnamespace
         -- A body that was parsed when the function was created has nothing left to find.
         and prosqlbody is null and not coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false)`,
    );
    assert.deepEqual(open, [], 'add to the function: set search_path = pg_catalog, pg_temp');
  });

  it('let a sender send and do nothing else', async () => {
    const { pool } = logins.inbox_sender;
    const send = async (...values: unknown[]) =>
      (await pool.query<{ send: string }>('select inbox.send($1, $2, $3)', values)).rows[0]!.send;
    assert.equal(await send('sent', 'Pay', '{"cents": 1}'), 'accepted');
    assert.equal(await send('sent', 'Pay', '{"cents": 1}'), 'duplicate');
    await assert.rejects(send('sent', 'Pay', '{"cents": 2}'), (error) => sqlState(error) === 'IB001');
    await assert.rejects(send(' ', 'Pay', '{}'), (error) => sqlState(error) === 'IB002');
    for (const statement of [
      `select inbox.fingerprint('Pay', '{}')`,
      'select inbox.new_id()',
      'select inbox.grant_roles()',
      'create table inbox.own (id integer)',
    ]) {
      await assert.rejects(pool.query(statement), denied, statement);
    }
  });

  it('give a sender in a Node process everything it needs', async () => {
    for (const { pool, name } of [logins.inbox_sender, logins.inbox_worker]) {
      const inbox = await createInbox({ pool });
      const message = { messageId: `in-process ${name}`, type: 'Pay', payload: { cents: 1 } };
      assert.equal((await inbox.send(message)).answer, 'accepted');
      assert.equal((await inbox.send(message)).answer, 'duplicate');
      await assert.rejects(inbox.send({ ...message, payload: {} }), IdempotencyConflictError);
      const several = [message, { ...message, messageId: `another ${name}` }];
      assert.deepEqual(
        (await inbox.send(several)).map(({ answer }) => answer),
        ['duplicate', 'accepted'],
      );
      const client = await pool.connect();
      await client.query('begin');
      assert.equal((await inbox.send(message, { tx: client })).answer, 'duplicate');
      const inTransaction = { ...message, messageId: `in a transaction ${name}` };
      assert.equal((await inbox.send(inTransaction, { tx: client })).answer, 'accepted');
      await client.query('commit');
      client.release();
      assert.equal((await inbox.status(message.messageId))?.status, 'Pending');
      await inbox.close();
    }
  });

  it('keep working for senders with the grants of earlier releases', async () => {
    const earlier = await createLogin(database, 'inbox_sender');
    await database.pool.query(`grant select on inbox.migrations to ${earlier.name};
      grant select, insert on inbox.entries to ${earlier.name};
      grant execute on function inbox.fingerprint, inbox.new_id to ${earlier.name}`);
    await earlier.pool.query(
      `insert into inbox.entries (message_id, command_type, payload, fingerprint)
       values ('earlier', 'Pay', '{}', inbox.fingerprint('Pay', '{}'))`,
    );
    await earlier.drop();
  });

  it('can be granted repeatedly, which revokes any other grants', async () => {
    await database.pool.query('grant delete on inbox.entries to inbox_reader; select inbox.grant_roles()');
    await database.pool.query('select inbox.grant_roles()');
    assert.equal(await mayRun(logins.inbox_reader, 'delete from inbox.entries where false'), false);
    assert.equal(await mayRun(logins.inbox_reader, 'select id from inbox.entries'), true);
  });
});

const statements = (table: string, column: string): Record<Operation, string> => ({
  select: `select from inbox.${table}`,
  insert: `insert into inbox.${table} default values`,
  update: `update inbox.${table} set ${column} = default where false`,
  delete: `delete from inbox.${table} where false`,
  truncate: `truncate inbox.${table}`,
});

/**
 * Postgres checks rights before anything else: any answer other than this error means that the role may run the
 * statement.
 */
async function mayRun(login: TestLogin, statement: string): Promise<boolean> {
  const client = await login.pool.connect();
  try {
    await client.query('begin');
    return await client.query(statement).then(
      () => true,
      (error: unknown) => sqlState(error) !== DENIED,
    );
  } finally {
    await client.query('rollback');
    client.release();
  }
}
const denied = (error: unknown) => sqlState(error) === DENIED;
