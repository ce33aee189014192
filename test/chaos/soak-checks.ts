/**
 * The invariants that must hold after a soak. Entries were pruned during the soak, so only those of the checker's invariants
 * apply that need no payload, no published event and no replayed dead letter. The audit and the broker's counts replace the
 * others.
 *
 * @module
 */
import type { Pool } from 'pg';
import { check } from './checker.ts';
import type { Finding } from './checker.ts';
import type { Journal } from './journal.ts';

/** The numbers of the invariants that also hold for pruned entries. */
const UNPRUNED = /^(1a|1b|1c|2|3a|4a|4b|5|6a|6b|6c|7a|7b|7c|9|11a|13) /;

/** @param published - the number of events that the broker got, by type, after the whole outbox was published */
export async function checkAfterSoak(
  pool: Pool,
  journal: Journal,
  published: Record<string, number>,
): Promise<Finding[]> {
  const findings = (await check(pool, journal)).filter(({ name }) => UNPRUNED.test(name));
  const audit = await pool.query(
    `select e.message_id, e.generation, count(a.id) from inbox.entries e
     left join inbox.audit a on a.message_id = e.message_id and a.action = 'replay'
     group by e.id having count(a.id) <> e.generation`,
  );
  const expected = await pool.query<{ transferred: number; died: number }>(
    `select (coalesce(sum((journal.payload ->> 'events')::integer) filter (where status = 'Completed'), 0))::float8
         as transferred,
       (sum(generation) + count(*) filter (where status = 'DeadLetter'))::float8 as died
     from inbox.entries join journal using (message_id)`,
  );
  const { transferred, died } = expected.rows[0]!;
  return [
    ...findings,
    finding(
      'the audit shows a replay for every generation but the first',
      audit.rows.map((row) => JSON.stringify(row)),
    ),
    // No fault has made the relay publish an event twice, so the numbers must be equal.
    ...compareCounts('Transferred', transferred, published),
    ...compareCounts('CommandDeadLettered', died, published),
  ];
}

function compareCounts(type: string, expected: number, published: Record<string, number>): Finding[] {
  const got = published[type] ?? 0;
  return [
    finding(
      `the broker got every ${type} exactly once`,
      got === expected ? [] : [`${got} published, ${expected} committed`],
    ),
  ];
}

function finding(name: string, examples: string[]): Finding {
  return { name, violations: examples.length, examples: examples.slice(0, 5) };
}
