/**
 * A hand-written table: the sender inserts the command and then runs one statement that does the whole job. It has no
 * retries, no recovery and no dead letters. It shows what Postgres can do; its features are not comparable with the other
 * systems.
 *
 * @module
 */
import { createPool } from '../../src/platform/postgres.ts';
import type { Job, System } from '../system.ts';

const ACCEPT = {
  name: 'accept',
  text: `insert into commands (id, payload) values ($1, $2) on conflict do nothing`,
};

const HANDLE = {
  name: 'handle',
  text: `with mine as (
           update commands set status = 'Completed' where id = $1 and status = 'Pending' returning id),
         added as (
           update accounts set balance = balance + $3 from mine where accounts.id = $2)
         insert into outbox (aggregatetype, aggregateid, type, payload, message_id)
         select 'account', $2::integer::text, 'AmountAdded', jsonb_build_object('amount', $3::integer), id from mine`,
};

export const system: System = {
  async open({ databaseUrl, done }) {
    const pool = createPool({ connectionString: databaseUrl, max: 16, applicationName: 'bench' });
    await pool.query(`
      create table commands (id text collate "C" primary key, payload jsonb not null, status text not null default 'Pending',
        received_at timestamptz not null default now())`);

    async function handle({ id, account, amount }: Job): Promise<void> {
      await pool.query({ ...HANDLE, values: [id, account, amount] });
      done(id);
    }

    return {
      async send(job) {
        const { account, amount } = job;
        const { rowCount } = await pool.query({
          ...ACCEPT,
          values: [job.id, JSON.stringify({ account, amount })],
        });
        if (rowCount === 1) void handle(job);
      },
      async work() {},
      async countDone() {
        const { rows } = await pool.query<{ done: number }>(
          `select count(*)::integer as done from commands where status = 'Completed'`,
        );
        return rows[0]!.done;
      },
      stop: () => pool.end(),
    };
  },
};
