/** Tests a handler on a real worker, as your own test file would: with node:test, and message ids of its own. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { DeadLetterError, defineCommand } from 'temporal-inbox';
import { z } from 'zod';
import { withWorker } from './with-worker.ts';

const rename = defineCommand({
  type: 'Rename',
  schema: z.object({ id: z.string(), name: z.string().min(1) }),
  async handle({ payload: { id, name }, tx }) {
    const { rowCount } = await tx.query('update users set name = $2 where id = $1', [id, name]);
    return { renamed: rowCount === 1 };
  },
});

await withWorker([rename], async ({ pool, inbox }) => {
  await pool.query('create table if not exists users (id text primary key, name text)');
  const id = randomUUID();
  await pool.query('insert into users values ($1, $2)', [id, 'Ada']);
  const execute = (payload: { id: string; name: string }) =>
    inbox.execute({ messageId: randomUUID(), type: 'Rename', payload });

  assert.deepEqual(await execute({ id, name: 'Grace' }), { renamed: true });
  assert.deepEqual(await execute({ id: 'nobody', name: 'Grace' }), { renamed: false });
  await assert.rejects(execute({ id, name: '' }), DeadLetterError);
  const { rows } = await pool.query('select name from users where id = $1', [id]);
  console.log(rows[0].name); // Grace
});
