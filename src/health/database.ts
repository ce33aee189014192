/**
 * The database checks of `inbox doctor`.
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

/** Longer than a healthy worker leaves an entry waiting. */
const LATE_MS = 60_000;
/** Several times longer than an attempt may take, unless it is long-running. */
const LOST_MS = 5 * 60_000;

/**
 * Skips checks that cannot run: returns one finding if the server is unreachable, and checks no entries without the schema.
 */
export async function checkDatabase(
  env: Record<string, string | undefined>,
  timeoutMs: number,
): Promise<Finding[]> {
  // The first pool keeps the settings of the role and the database, because they are checked too.
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
      return healthy(`Postgres ${facts.version} is reachable`);
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
  'run `inbox migrate`; if a newer, incompatible release migrated the database, upgrade this package instead';
const UNREACHABLE =
  'check the host, port, user, password and database in DATABASE_URL, and that Postgres is running and accepts connections ' +
  'from this host';

function judgeSettings(facts: ServerFacts): Verdict {
  const { encoding, fsync, fullPageWrites, synchronousCommit, replicationRole, overridden, openSchemas } =
    facts;
  const wrong: [found: string, remedy: string][] = [];
  if (encoding !== 'UTF8') {
    const remedy =
      'create a database with encoding UTF8: this one cannot store some message ids and payloads';
    wrong.push([`server_encoding is ${encoding}`, remedy]);
  }
  if (fsync !== 'on')
    wrong.push([`fsync is ${fsync}`, 'set fsync = on: otherwise a power failure can corrupt the database']);
  if (fullPageWrites !== 'on') {
    wrong.push([
      `full_page_writes is ${fullPageWrites}`,
      'set full_page_writes = on: otherwise a power failure can leave a torn page',
    ]);
  }
  if (synchronousCommit === 'off') {
    const remedy =
      'set synchronous_commit = on for the server, this database and this role: otherwise a crash can lose commands ' +
      'that were reported as accepted or completed (claims turn it off themselves, where nothing can be lost)';
    wrong.push(['synchronous_commit is off', remedy]);
  }
  if (replicationRole !== 'origin') {
    const remedy =
      'reset session_replication_role for this role and database: the triggers that protect the entries do not run';
    wrong.push([`session_replication_role is ${replicationRole}`, remedy]);
  }
  for (const schema of openSchemas) {
    const remedy =
      `revoke create on schema ${schema} from public: otherwise any login can create a function or an operator there ` +
      "that the statements of handlers then use with the worker's rights";
    wrong.push([`every login may create objects in schema ${schema}, which is on the search_path`, remedy]);
  }
  if (wrong.length === 0) {
    const overrides =
      overridden.length === 0 ? '' : `; the inbox overrides ${overridden.join(', ')} in its own transactions`;
    return healthy(`the encoding is UTF8; fsync, full_page_writes and synchronous_commit are on${overrides}`);
  }
  return unhealthy(wrong.map(([found]) => found).join('; '), wrong.map(([, remedy]) => remedy).join('; '));
}

function checkEntries(pool: Pool, timeoutMs: number): Promise<Finding[]> {
  const checkWaiting = (
    name: string,
    find: () => Promise<Waiting>,
    none: string,
    some: string,
    remedy: string,
  ) =>
    check(name, timeoutMs, NEEDS_READ_ACCESS, async () => {
      const { count, oldestMs, example } = await find();
      if (count === 0) return healthy(none);
      const which = `${count} ${some}, the oldest for ${duration(oldestMs ?? 0)}`;
      return unhealthy(
        which,
        `${remedy}; one of them: ${shellCommand`inbox show ${example ?? ''}` ?? JSON.stringify(example)}`,
      );
    });
  return Promise.all([
    checkWaiting(
      'pending entries',
      () => findStuckPending(pool, LATE_MS),
      'none has waited longer than a minute',
      'Pending for more than a minute',
      'check that a worker is running and keeps up (INBOX_CONCURRENCY, more workers), and read its log',
    ),
    checkWaiting(
      'failed entries',
      () => findOverdueFailed(pool, LATE_MS),
      'no retry is overdue',
      'Failed with a retry that is overdue by more than a minute',
      'check that a worker is running; check in the Web UI whether the activity is paused or the workflow was terminated',
    ),
    checkWaiting(
      'processing entries',
      () => findLostAttempts(pool, LOST_MS),
      'none was left behind by a worker that died',
      'Processing for more than 5 minutes without a running attempt',
      'their workers died: check that a worker is running and, in the Web UI, that their workflows are running',
    ),
    checkWaiting(
      'records',
      () => findUnrecorded(pool, LATE_MS),
      'every completed command that needs a workflow as its record has one',
      'Completed for more than a minute without the workflow that records them',
      'check that a worker is running and reaches Temporal: nothing is lost, the Web UI is only behind',
    ),
    checkWaiting(
      'dead letters',
      () => findOpenDeadLetters(pool),
      'none is open',
      'open, waiting for someone to act',
      '`inbox dead-letters groups` shows their causes: fix one, then `inbox replay --group …`, or `inbox discard`',
    ),
    check('outbox', timeoutMs, NEEDS_READ_ACCESS, () => checkOutbox(pool)),
    check('command types', timeoutMs, NEEDS_READ_ACCESS, () => checkCommandTypes(pool)),
    check('vacuum', timeoutMs, NEEDS_READ_ACCESS, () => checkVacuum(pool)),
    checkAlerts(pool, timeoutMs),
  ]);
}

const NEEDS_READ_ACCESS = 'connect as a login in inbox_operator, or as the owner of the schema';
