/**
 * The database's part of `inbox doctor`.
 *
 * @module
 */
import type { Pool } from 'pg';
import { readDatabaseUrl } from '../platform/postgres-url.ts';
import { OPERATOR_SETTINGS, RECORD_SETTINGS, SEND_SETTINGS } from '../platform/connection-settings.ts';
import type { PinnedSettings } from '../platform/connection-settings.ts';
import { createPool } from '../platform/postgres.ts';
import type { Finding, Verdict } from './finding.ts';
import { unhealthy, check, duration, healthy } from './finding.ts';
import { checkAlerts } from './alerts.ts';
import { checkConnection } from './connection.ts';
import { checkOutbox } from './outbox.ts';
import { checkRoles } from './roles.ts';
import { checkCommandTypes } from './command-types.ts';
import { checkVacuum } from './vacuum.ts';
import { checkSchema } from '../store/migrate.ts';
import { shellCommand } from '../core/shell.ts';
import { describeSchema } from '../store/schema-state.ts';
import {
  findLostAttempts,
  findOpenDeadLetters,
  findOverdueFailed,
  findStuckPending,
  findUnrecorded,
  readServerFacts,
} from '../store/health.ts';
import type { ServerFacts, Waiting } from '../store/health.ts';

/** Longer than a worker that is well leaves anything lying. */
const LATE_MS = 60_000;
/** Several times what an attempt that is not long-running may take. */
const LOST_MS = 5 * 60_000;

/** Without a server there is one finding, without the schema there are no entries to look at. */
export async function checkDatabase(
  env: Record<string, string | undefined>,
  timeoutMs: number,
): Promise<Finding[]> {
  // The first has the settings that the role and the database give, which are part of the findings.
  const pools: Pool[] = [];
  const open = (max: number, settings?: PinnedSettings) => {
    const connectionString = readDatabaseUrl(env);
    const limits = { connectTimeoutMs: timeoutMs, queryTimeoutMs: timeoutMs };
    const name = { applicationName: 'inbox doctor' };
    const pool = createPool({ connectionString, max, ...name, ...limits, ...(settings && { settings }) });
    pools.push(pool);
    return pool;
  };
  try {
    let facts: ServerFacts | undefined;
    const reachable = await check('database', timeoutMs, UNREACHABLE, async () => {
      facts = await readServerFacts(open(2), Object.keys({ ...RECORD_SETTINGS, ...SEND_SETTINGS }));
      return healthy(`Postgres ${facts.version} answers`);
    });
    const [plain] = pools;
    if (!facts || !plain) return [reachable];
    const found = facts;
    const settings = await check('database settings', timeoutMs, '', () => judgeSettings(found));
    const connection = await check('connection', timeoutMs, UNREACHABLE, () => checkConnection(plain, env));
    const pool = open(4, OPERATOR_SETTINGS);
    const schema = await check('schema', timeoutMs, MIGRATE, async () => {
      return healthy(describeSchema(await checkSchema(pool)));
    });
    if (!schema.ok) return [reachable, settings, connection, schema];
    const roles = await check('roles', timeoutMs, '', () => checkRoles(pool));
    return [reachable, settings, connection, schema, roles, ...(await checkEntries(pool, timeoutMs))];
  } finally {
    await Promise.all(pools.map((pool) => pool.end()));
  }
}

const MIGRATE =
  'run `inbox migrate`; if a newer release migrated the database and this one cannot work with it, upgrade this package instead';
const UNREACHABLE =
  'check the host, port, user, password and database in DATABASE_URL, and that this Postgres runs and lets this host in';

function judgeSettings(facts: ServerFacts): Verdict {
  const { encoding, fsync, fullPageWrites, synchronousCommit, replicationRole, overridden, openSchemas } =
    facts;
  const wrong: [found: string, todo: string][] = [];
  if (encoding !== 'UTF8') {
    const todo =
      'make a database with encoding UTF8: some message ids and payloads cannot be stored in this one';
    wrong.push([`server_encoding is ${encoding}`, todo]);
  }
  if (fsync !== 'on')
    wrong.push([`fsync is ${fsync}`, 'set fsync = on: a power cut would break the database']);
  if (fullPageWrites !== 'on') {
    wrong.push([
      `full_page_writes is ${fullPageWrites}`,
      'set full_page_writes = on: a power cut could tear a page',
    ]);
  }
  if (synchronousCommit === 'off') {
    const todo =
      'set synchronous_commit = on for the server, this database and this role: what was answered as accepted or ' +
      'completed could be lost in a crash (claims turn it off by themselves, where nothing can be lost)';
    wrong.push(['synchronous_commit is off', todo]);
  }
  if (replicationRole !== 'origin') {
    const todo =
      'reset session_replication_role for this role and database: triggers keep the entries sound, and they do not run';
    wrong.push([`session_replication_role is ${replicationRole}`, todo]);
  }
  for (const schema of openSchemas) {
    const todo =
      `revoke create on schema ${schema} from public: there every login could create a function or an operator that the ` +
      'statements of handlers then use, with the rights of the worker';
    wrong.push([`every login may create objects in schema ${schema}, which is on the search_path`, todo]);
  }
  if (wrong.length === 0) {
    const instead =
      overridden.length === 0 ? '' : `; the inbox replaces ${overridden.join(', ')} in its own transactions`;
    return healthy(`UTF8, fsync, full_page_writes and synchronous_commit are on${instead}`);
  }
  return unhealthy(wrong.map(([found]) => found).join('; '), wrong.map(([, todo]) => todo).join('; '));
}

function checkEntries(pool: Pool, timeoutMs: number): Promise<Finding[]> {
  const look = (name: string, find: () => Promise<Waiting>, none: string, some: string, todo: string) =>
    check(name, timeoutMs, MAY_READ, async () => {
      const { count, oldestMs, example } = await find();
      if (count === 0) return healthy(none);
      const which = `${count} ${some}, the first for ${duration(oldestMs ?? 0)}`;
      return unhealthy(
        which,
        `${todo}; one of them: ${shellCommand`inbox show ${example ?? ''}` ?? JSON.stringify(example)}`,
      );
    });
  return Promise.all([
    look(
      'pending entries',
      () => findStuckPending(pool, LATE_MS),
      'none waits longer than a minute',
      'Pending for more than a minute',
      'see that a worker runs and keeps up (INBOX_CONCURRENCY, more workers), and read its log',
    ),
    look(
      'failed entries',
      () => findOverdueFailed(pool, LATE_MS),
      'none is overdue',
      'Failed, whose next attempt is overdue by more than a minute',
      'see that a worker runs, and in the Web UI whether the activity is paused or the workflow was terminated',
    ),
    look(
      'processing entries',
      () => findLostAttempts(pool, LOST_MS),
      'none was left by a worker that died',
      'Processing for more than 5 minutes, and no attempt holds them',
      'their workers died: see that a worker runs, and in the Web UI that their workflows do',
    ),
    look(
      'records',
      () => findUnrecorded(pool, LATE_MS),
      'every command that completed has its workflow, or is to have none',
      'Completed for more than a minute, whose workflow is still to be started as their record',
      'see that a worker runs and reaches Temporal: nothing is lost, the Web UI is only late',
    ),
    look(
      'dead letters',
      () => findOpenDeadLetters(pool),
      'none is open',
      'open, each waiting for a person',
      '`inbox dead-letters groups` shows their causes: mend one, then `inbox replay --group …`, or `inbox discard`',
    ),
    check('outbox', timeoutMs, MAY_READ, () => checkOutbox(pool)),
    check('command types', timeoutMs, MAY_READ, () => checkCommandTypes(pool)),
    check('vacuum', timeoutMs, MAY_READ, () => checkVacuum(pool)),
    checkAlerts(pool, timeoutMs),
  ]);
}

const MAY_READ = 'read as a login in inbox_operator, or as the owner of the schema';
