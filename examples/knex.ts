/** Uses Knex in a handler: with `connection`, its statements and transactions run inside the attempt's transaction. */
import { randomUUID } from 'node:crypto';
import knexFactory from 'knex';
import { defineCommand } from 'temporal-inbox';
import { z } from 'zod';
import { withWorker } from './with-worker.ts';

/** Only builds statements, so it has no connection of its own. */
const knex = knexFactory({ client: 'pg' });

const bookSeats = defineCommand({
  type: 'BookSeats',
  schema: z.object({ show: z.string(), seats: z.array(z.string()) }),
  async handle({ payload: { show, seats }, tx }) {
    const connection = tx.client;
    await knex('knex_shows').insert({ show }).connection(connection);
    // A seat that is taken must not keep the others from being booked.
    for (const seat of seats)
      await knex
        .transaction((nested) => nested('knex_seats').insert({ show, seat }), { connection })
        .catch(() => console.log(`${seat} is taken`)); // A1 is taken
    const booked = await knex('knex_seats').where({ show }).pluck('seat').connection(connection);
    return booked.join(' ');
  },
});

await withWorker([bookSeats], async ({ pool, inbox }) => {
  await pool.query('create table if not exists knex_shows (show text primary key)');
  await pool.query('create table if not exists knex_seats (show text, seat text, primary key (show, seat))');
  const show = randomUUID();
  const payload = { show, seats: ['A1', 'A1', 'A2'] };
  console.log(await inbox.execute(bookSeats, { messageId: show, payload })); // A1 A2
});
