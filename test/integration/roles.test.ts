import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sqlState } from '../../src/database.ts';
import { createInbox } from '../../src/inbox.ts';
import { auditTrail, stats } from '../../src/operations.ts';
import { ROLES } from '../../src/store/roles.ts';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { rows } from '../support/inbox.ts';
import { createLogin } from '../support/login.ts';
import type { TestLogin } from '../support/login.ts';

type Role = (typeof ROLES)[number];
type Operation = 'select' | 'insert' | 'update' | 'delete' | 'truncate';

/** What each role may do with each table; a table that is not here fails the test. No role may do more. */
const DECISIONS: Record<string, Partial<Record<Role, Operation[]>>> = {
  entries: {
    inbox_worker: ['select', 'insert', 'update'],
    inbox_operator: ['select', 'update'],
    inbox_reader: ['select'],
  },
  failures: { inbox_worker: ['insert'], inbox_operator: ['select', 'update'], inbox_reader: ['select'] },
  dead_letters: {
    inbox_worker: ['select', 'insert', 'update'],
    inbox_operator: ['select', 'update', 'delete'],
    inbox_reader: ['select'],
  },
  outbox: {
    inbox_worker: ['select', 'insert', 'update'],
    inbox_operator: ['select', 'delete'],
    inbox_reader: ['select'],
  },
  outbox_lease: {
    inbox_worker: ['select', 'insert', 'update'],
    inbox_operator: ['select'],
    inbox_reader: ['select'],
  },
  // An operator changes next_try_at, and published_at of events.
  outbox_parked: {
    inbox_worker: ['select', 'insert', 'update', 'delete'],
    inbox_operator: ['select'],
    inbox_reader: ['select'],
  },
  audit: { inbox_worker: ['insert'], inbox_operator: ['select', 'insert'], inbox_reader: ['select'] },
  migrations: { inbox_worker: ['select'], inbox_operator: ['select'], inbox_reader: ['select'] },
  workers: {
    inbox_worker: ['select', 'insert', 'update', 'delete'],
    inbox_operator: ['select'],
    inbox_reader: ['select'],
  },
  identity: { inbox_worker: ['select'], inbox_operator: ['select'], inbox_reader: ['select'] },
  retention: { inbox_operator: ['select', 'update'], inbox_reader: ['select'] },
  retention_left: { inbox_operator: ['select', 'insert', 'delete'], inbox_reader: ['select'] },
  campaigns: {
    inbox_worker: ['select', 'insert', 'update', 'delete'],
    inbox_operator: ['select', 'insert', 'update'],
    inbox_reader: ['select'],
  },
  campaign_items: {
    inbox_worker: ['select', 'insert', 'update', 'delete'],
    inbox_operator: ['select', 'insert', 'update'],
    inbox_reader: ['select'],
  },
  alerts: {
    inbox_worker: ['select', 'insert', 'update', 'delete'],
    inbox_operator: ['select', 'delete'],
    inbox_reader: ['select'],
  },
  dry_run: {
    inbox_worker: ['select', 'insert', 'update', 'delete'],
    inbox_operator: ['select', 'insert'],
  },
};

/** What a reader does not see of the tables that it may read. */
const HIDDEN_FROM_READERS: Record<string, string[]> = {
  entries: ['payload', 'metadata', 'result', 'error', 'fingerprint', 'reply_to'],
  failures: ['error', 'stack'],
  dead_letters: ['payload', 'metadata', 'error'],
  outbox: ['payload', 'metadata'],
  outbox_parked: ['aggregate_key', 'error'],
  audit: ['details'],
  alerts: ['last_error'],
};

const FUNCTIONS: Record<string, Role[]> = {
  send: ['inbox_sender', 'inbox_worker'],
  fingerprint: ['inbox_worker'],
  transaction_ended: ['inbox_worker'],
  new_id: ['inbox_worker', 'inbox_operator'],
};

const DENIED = '42501';
const DECIDE = 'decide what each role may do with it: in inbox.grant_roles() by a new migration, and in';

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
  it('may do with each table what was decided for it, and nothing else', async () => {
    for (const { table, column } of await tables()) {
      const decision = DECISIONS[table];
      assert.ok(decision, `nobody has decided about inbox.${table}: ${DECIDE} DECISIONS`);
      for (const role of ROLES) {
        const allowed: string[] = [];
        for (const [operation, statement] of Object.entries(statements(table, column))) {
          if (await mayRun(logins[role], statement)) allowed.push(operation);
        }
        assert.deepEqual(allowed, decision[role] ?? [], `${role} on inbox.${table}`);
      }
    }
  });

  it('show a reader every column but those that hold, or may repeat, what is in a command', async () => {
    const hidden = await rows<{ table: string; columns: string[] }>(
      database.pool,
      `select c.relname as table, array_agg(a.attname::text order by a.attname) as columns
       from pg_class c join pg_attribute a on a.attrelid = c.oid
       where c.relnamespace = 'inbox'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
         and c.relname = any ($1) and not has_column_privilege('inbox_reader', c.oid, a.attnum, 'select')
       group by c.relname`,
      [Object.keys(DECISIONS).filter((table) => DECISIONS[table]!.inbox_reader)],
    );
    const expected = Object.entries(HIDDEN_FROM_READERS).map(([table, columns]) => [table, columns.sort()]);
    assert.deepEqual(
      Object.fromEntries(hidden.map(({ table, columns }) => [table, columns])),
      Object.fromEntries(expected),
      `for a new column ${DECIDE} HIDDEN_FROM_READERS`,
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

  it('may execute the functions that they need, which nobody else may', async () => {
    const functions = await rows<{ name: string; roles: Role[] }>(
      database.pool,
      `select proname as name, array(select role from unnest($1::text[]) with ordinality as r (role, place)
         where has_function_privilege(role, p.oid, 'execute') order by place) as roles
       from pg_proc p where pronamespace = 'inbox'::regnamespace`,
      [ROLES],
    );
    for (const { name, roles } of functions) {
      assert.deepEqual(roles, FUNCTIONS[name] ?? [], `inbox.${name}: ${DECIDE} FUNCTIONS`);
    }
  });

  it('leave nothing in the schema to PUBLIC', async () => {
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

  it('can rely on functions that find nothing but what is meant: each has its search_path pinned', async () => {
    const open = await rows(
      database.pool,
      `select oid::regprocedure::text as function from pg_proc
       where pronamespace = 'inbox'::regnamespace
         and not coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false)`,
    );
    assert.deepEqual(open, [], 'add to the function: set search_path = pg_catalog, pg_temp');
  });

  it('let a sender send, and do nothing else', async () => {
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
    await assert.rejects(createInbox({ pool }), denied);
  });

  it('give a sender inside a Node process what it needs in inbox_worker, or in the grants that the docs name', async () => {
    const own = await createLogin(database, 'inbox_sender');
    await database.pool.query(`grant select on inbox.migrations to ${own.name};
      grant select, insert on inbox.entries to ${own.name};
      grant execute on function inbox.fingerprint, inbox.new_id to ${own.name}`);
    for (const { pool, name } of [logins.inbox_worker, own]) {
      const inbox = await createInbox({ pool });
      const message = { messageId: `in-process ${name}`, type: 'Pay', payload: { cents: 1 } };
      assert.equal((await inbox.send(message)).answer, 'accepted');
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
    await own.drop();
  });

  it('are granted anew as often as one likes, and what was granted to them beside that is taken back', async () => {
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

/** Rights are looked at before anything else is: any other answer than this error says that it may. */
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
