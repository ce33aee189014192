/** Tests commands on a real worker, as your own test file would: retries, a dead letter and its replay, and a chain. */
import assert from 'node:assert/strict';
import { DeadLetterError, defineCommand, UnrecoverableError } from 'temporal-inbox';
import { replay } from 'temporal-inbox/operations';
import { createTestInbox } from 'temporal-inbox/testing';
import { z } from 'zod';

const greet = defineCommand({
  type: 'Greet',
  schema: z.object({ name: z.string() }),
  async handle({ payload, tx }) {
    await tx.query('insert into greetings values ($1)', [payload.name]);
  },
});

const register = defineCommand({
  type: 'Register',
  schema: z.object({ name: z.string() }),
  retry: { initialInterval: 10 },
  async handle({ payload: { name }, tx, send, messageId, attempt }) {
    if (attempt === 1) throw new Error('a moment of bad luck');
    const { rows } = await tx.query('select from banned where name = $1', [name]);
    if (rows.length > 0) throw new UnrecoverableError('Banned', { name });
    await send(greet, { messageId: `${messageId}-greet`, payload: { name } });
    return { attempt };
  },
});

const test = await createTestInbox({ commands: [register, greet] });
await test.pool.query(`create table greetings (name text); create table banned (name text);
  insert into banned values ('Eve')`);

const { attempt } = await test.execute(register, { messageId: 'ada', payload: { name: 'Ada' } });
console.log(attempt); // 2
const flow = await test.settled('ada');
console.log(flow.map(({ commandType }) => commandType).join(', ')); // Register, Greet

const eve = { messageId: 'eve', payload: { name: 'Eve' } };
await assert.rejects(test.execute(register, eve), DeadLetterError);
const [letter] = await test.deadLetters();
console.log(letter?.error); // Banned: name=Eve

await test.pool.query('delete from banned');
await replay(test, 'eve', { reason: 'no longer banned' });
await test.settled('eve');
const { rows } = await test.pool.query('select name from greetings order by name');
console.log(rows.map(({ name }) => name).join(', ')); // Ada, Eve
await test.close();
