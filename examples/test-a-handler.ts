/** Tests a handler without a worker, as your own test file would. It needs only Postgres, and leaves nothing there. */
import assert from 'node:assert/strict';
import { Pool } from 'pg';
import { defineCommand, UnrecoverableError } from 'temporal-inbox';
import { runCommand } from 'temporal-inbox/testing';
import { z } from 'zod';

const rename = defineCommand({
  type: 'Rename',
  schema: z.object({ id: z.string(), name: z.string().min(1) }),
  async handle({ payload: { id, name }, tx, emit }) {
    const { rowCount } = await tx.query('update users set name = $2 where id = $1', [id, name]);
    if (rowCount === 0) throw new UnrecoverableError('UnknownUser', { id });
    emit({ aggregateType: 'user', aggregateId: id, type: 'UserRenamed', payload: { name } });
    return { renamed: true };
  },
});

const pool = new Pool({ connectionString: process.env['DATABASE_URL'] });
const tx = await pool.connect();
// Given: the test's own transaction. Each command runs in a savepoint of it.
await tx.query('begin; create table users (id text primary key, name text)');
await tx.query(`insert into users values ('1', 'Ada')`);

const { result, events } = await runCommand(rename, { tx, payload: { id: '1', name: 'Grace' } });
assert.deepEqual(result, { renamed: true });
console.log(events[0]?.type); // UserRenamed
const { rows } = await tx.query('select name from users');
console.log(rows[0].name); // Ada

await assert.rejects(runCommand(rename, { tx, payload: { id: '2', name: 'Grace' } }), UnrecoverableError);
await assert.rejects(runCommand(rename, { tx, payload: { id: '1', name: '' } }), {
  errorType: 'InvalidPayload',
});
await tx.query('rollback');
tx.release();
await pool.end();
