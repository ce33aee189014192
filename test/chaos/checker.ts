/**
 * The invariants of the inbox, each a query that finds no row once the system has settled.
 *
 * @module
 */
import type { Pool } from 'pg';
import { replay } from '../../src/operations/index.ts';
import type { Operator } from '../../src/operations/index.ts';
import { ACCOUNTS, MAXIMUM_ATTEMPTS, OPENING_CENTS } from './bank.ts';
import type { Journal } from './journal.ts';

export interface Invariant {
  name: string;
  /** Each row that it finds is a violation. The first column identifies what is wrong, mostly a message. */
  sql: string;
}

export interface Finding {
  name: string;
  violations: number;
  /** Some of the violations, as JSON. */
  examples: string[];
}

const HANDLER_EVENTS = `inbox.outbox where aggregatetype <> 'inbox'`;

export const INVARIANTS: readonly Invariant[] = [
  {
    name: '1a every accepted message has an entry',
    sql: `select message_id from journal left join inbox.entries using (message_id)
          where answer = 'ok' and inbox.entries.id is null`,
  },
  {
    name: '1b no refused or rolled-back message has an entry',
    sql: `select message_id from journal join inbox.entries using (message_id) where answer = 'refused'`,
  },
  {
    name: '1c every entry was sent by somebody',
    sql: `select message_id from inbox.entries left join journal using (message_id) where journal.answer is null`,
  },
  {
    name: '2 every entry ends Completed or DeadLetter',
    sql: `select message_id, status, attempt from inbox.entries where status not in ('Completed', 'DeadLetter')`,
  },
  {
    name: '3a a Completed entry has exactly one effect',
    sql: `select message_id, count(effects.message_id) from inbox.entries left join chaos.effects using (message_id)
          where status = 'Completed' group by message_id having count(effects.message_id) <> 1`,
  },
  {
    name: '3b a Completed entry has exactly the events that its handler emitted, in order',
    sql: `select e.message_id, numbers from inbox.entries e
          cross join lateral (
            select coalesce(array_agg((payload ->> 'number')::integer order by position), '{}') as numbers
            from ${HANDLER_EVENTS} and message_id = e.message_id) as found
          where status = 'Completed' and command_type like '%Transfer'
            and numbers is distinct from
              array(select generate_series(1, coalesce((e.payload ->> 'events')::integer, 1)))`,
  },
  {
    name: '4a an entry that is not Completed has no effect',
    sql: `select message_id, status from inbox.entries join chaos.effects using (message_id) where status <> 'Completed'`,
  },
  {
    name: '4b an entry that is not Completed has no event of its handler',
    sql: `select message_id, status from inbox.entries join (select message_id from ${HANDLER_EVENTS}) as o
          using (message_id) where status <> 'Completed'`,
  },
  ...['chaos.effects', 'inbox.outbox', 'inbox.failures', 'inbox.dead_letters', 'inbox.audit'].map(
    (table) => ({
      name: `5 no orphan in ${table}`,
      // An audit row may belong to a campaign instead of a message.
      sql: `select t.message_id from ${table} t left join inbox.entries e using (message_id)
            where e.id is null and to_jsonb(t) ->> 'campaign_id' is null`,
    }),
  ),
  {
    name: '6a retry_count is the number of failures of this generation, and at most maximumAttempts',
    sql: `select e.message_id, retry_count, count(f.id) from inbox.entries e
          left join inbox.failures f on f.message_id = e.message_id and f.generation = e.generation
          group by e.id having count(f.id) <> retry_count or retry_count > ${MAXIMUM_ATTEMPTS}`,
  },
  {
    name: '6b no attempt has two failures',
    sql: `select message_id, attempt from inbox.failures group by message_id, attempt having count(*) > 1`,
  },
  {
    name: '6c every attempt completed, failed or was given back',
    sql: `select e.message_id, e.attempt, count(f.id) from inbox.entries e left join inbox.failures f using (message_id)
          where e.status in ('Completed', 'DeadLetter')
          group by e.id having e.attempt <> count(f.id) + e.given_back + (e.status = 'Completed')::integer`,
  },
  {
    name: '7a an entry is Failed exactly while next_retry_at is set',
    sql: `select message_id from inbox.entries where (status = 'Failed') <> (next_retry_at is not null)`,
  },
  {
    name: '7b an entry has at most one open dead letter, and only while it is DeadLetter',
    sql: `select message_id from inbox.dead_letters d join inbox.entries e using (message_id)
          where resolution is null
          group by message_id having count(*) > 1 or bool_or(e.status <> 'DeadLetter')`,
  },
  {
    name: '7c a DeadLetter entry has a dead letter that is open or discarded',
    sql: `select e.message_id from inbox.entries e
          left join inbox.dead_letters d on d.message_id = e.message_id and d.generation = e.generation
          where e.status = 'DeadLetter' and (d.id is null or d.resolution = 'replayed')`,
  },
  {
    name: '7d every earlier generation died and was replayed',
    sql: `select e.message_id, e.generation, count(d.id) from inbox.entries e
          left join inbox.dead_letters d
            on d.message_id = e.message_id and d.generation < e.generation and d.resolution = 'replayed'
          group by e.id having count(d.id) <> e.generation`,
  },
  {
    name: '9 the audit shows the resolution of each dead letter, once and with its actor',
    sql: `select d.message_id, d.generation from inbox.dead_letters d
          left join inbox.audit a on a.details ->> 'deadLetterId' = d.id::text
          group by d.id
          having count(*) filter (where a.action = 'replay')
                 <> (d.resolution is not distinct from 'replayed')::integer
            -- A discarded one may be restored, and discarded again.
            or count(*) filter (where a.action = 'discard') - count(*) filter (where a.action = 'restore')
               <> (d.resolution is not distinct from 'discarded')::integer
            or bool_or(d.resolution is not null and d.resolved_by is null)`,
  },
  {
    name: '10 the fingerprint and the first payload are those of the message that was sent',
    sql: `select e.message_id from inbox.entries e join journal j using (message_id)
          left join inbox.dead_letters d on d.message_id = e.message_id and d.generation = 0
          where e.fingerprint <> inbox.fingerprint(j.command_type, j.payload)
            or coalesce(d.payload, e.payload) <> j.payload`,
  },
  {
    name: '11a money is conserved',
    sql: `select sum(balance) from chaos.accounts having sum(balance) <> ${ACCOUNTS * OPENING_CENTS}`,
  },
  {
    // The sum alone does not show money that went to the wrong account.
    name: '11b every balance follows from the transfers that had an effect',
    sql: `select a.id, a.balance, ${OPENING_CENTS} + coalesce(sum(moved), 0) as expected
          from chaos.accounts a
          left join (
            select (e.payload ->> side)::integer as account, case side when 'to' then f.cents else -f.cents end as moved
            from chaos.effects f join inbox.entries e using (message_id), (values ('from'), ('to')) as sides (side)
          ) as moves on moves.account = a.id
          group by a.id having a.balance <> ${OPENING_CENTS} + coalesce(sum(moved), 0)`,
  },
  {
    name: '12 each dead letter has exactly one CommandDeadLettered event',
    sql: `select d.message_id, d.generation, count(o.id) from inbox.dead_letters d
          left join inbox.outbox o on o.type = 'CommandDeadLettered' and o.payload ->> 'deadLetterId' = d.id::text
          group by d.id having count(o.id) <> 1`,
  },
  {
    name: '12b every dead letter is in an alert that was delivered',
    sql: `select message_id, generation, alert_id from inbox.dead_letters d
          where not exists (
            select from inbox.alerts a join chaos.alerts told on told.alert_id = a.id where a.id = d.alert_id)`,
  },
  {
    name: '12c every delivery of an alert has its number of dead letters',
    sql: `select a.id, a.count, count(d.id) from inbox.alerts a left join inbox.dead_letters d on d.alert_id = a.id
          group by a.id
          having count(d.id) <> a.count
            or exists (select from chaos.alerts told where told.alert_id = a.id and told.count <> a.count)`,
  },
  {
    name: '13 no session is idle in a transaction',
    sql: `select pid, application_name, query from pg_stat_activity
          where datname = current_database() and state like 'idle in transaction%'`,
  },
  {
    name: '14 every entry that needs a workflow, or one as a record, has it',
    sql: `select message_id, status, relayed_at from inbox.entries where needs_workflow`,
  },
];

/**
 * Checks invariant 8, which no query can check: replays every open dead letter and tests whether its entry got a new
 * generation. Call it before {@link check}, while a worker runs, and then wait until the replayed commands have settled.
 */
export async function checkReplayable(operator: Operator): Promise<Finding> {
  const { rows } = await operator.pool.query<{ message_id: string; generation: number }>(
    'select message_id, generation from inbox.dead_letters where resolution is null',
  );
  // The statement that resolves the dead letter also changes the generation, so there is nothing to wait for.
  const replayed = 'select from inbox.entries where message_id = $1 and generation = $2';
  const outcomes = await Promise.all(
    rows.map(async ({ message_id: messageId, generation }) => {
      const answer = await replay(operator, messageId, { actor: 'checker' }).catch(String);
      const { rowCount } = await operator.pool.query(replayed, [messageId, generation + 1]);
      return rowCount === 1 ? [] : [JSON.stringify({ messageId, answer })];
    }),
  );
  const examples = outcomes.flat();
  return {
    name: '8 a dead letter that is open in Postgres can be replayed, whatever happened to its workflow',
    violations: examples.length,
    examples: examples.slice(0, 5),
  };
}

/**
 * True when every dead letter is in an alert, and every alert was delivered or given up. Wait for it before {@link check}.
 */
export async function isAllAlerted(pool: Pool): Promise<boolean> {
  const { rows } = await pool.query<{ all: boolean }>(
    `select not exists (select from inbox.dead_letters where alert_id is null)
        and not exists (select from inbox.alerts where ended_at is null) as all`,
  );
  return rows[0]!.all;
}

/** True when every entry that needs a workflow has one. Wait for it before {@link check}. */
export async function isAllRecorded(pool: Pool): Promise<boolean> {
  const { rowCount } = await pool.query('select from inbox.entries where needs_workflow limit 1');
  return rowCount === 0;
}

/** Stores the journal in the database and checks every invariant. */
export async function check(pool: Pool, journal: Journal): Promise<Finding[]> {
  await journal.store(pool);
  return [
    ...(await checkEach(pool, INVARIANTS)),
    findingOf('1d no two answers to senders contradict each other', journal.contradictions),
  ];
}

/** The finding for an invariant, with the first five violations as examples. */
export function findingOf(name: string, violations: readonly object[]): Finding {
  const examples = violations.slice(0, 5).map((violation) => JSON.stringify(violation));
  return { name, violations: violations.length, examples };
}

/** Checks these invariants against the database. */
export async function checkEach(pool: Pool, invariants: readonly Invariant[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { name, sql } of invariants) {
    const { rows } = await pool.query<Record<string, unknown>>(sql);
    findings.push(findingOf(name, rows));
  }
  return findings;
}

/** One line for each invariant, followed by examples if it is violated. */
export function describeFindings(findings: readonly Finding[]): string {
  return findings
    .flatMap(({ name, violations, examples }) => [
      `${violations === 0 ? 'holds' : 'BROKEN'}  ${String(violations).padStart(6)}  ${name}`,
      ...examples.map((example) => `                  ${example}`),
    ])
    .join('\n');
}

export function violated(findings: readonly Finding[]): Finding[] {
  return findings.filter(({ violations }) => violations > 0);
}
