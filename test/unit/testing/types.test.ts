/** The types of the testing kit. The compiler checks them; nothing here runs. */
import { describe, it } from 'node:test';
import { expectTypeOf } from 'expect-type';
import type { Pool, PoolClient } from 'pg';
import { z } from 'zod';
import { defineContract } from '../../../src/commands/contract.ts';
import { defineCommand, implement } from '../../../src/commands/define-command.ts';
import type { Json } from '../../../src/core/json.ts';
import { createTestInbox, runCommand } from '../../../src/testing/index.ts';
import type { TestInbox } from '../../../src/testing/index.ts';

declare const pool: Pool;
declare const tx: PoolClient;
declare const inbox: TestInbox<typeof reserve | typeof ship>;

const reserve = defineCommand({
  type: 'Reserve',
  schema: z.object({ sku: z.string(), quantity: z.int().default(1) }),
  handle: ({ payload }) => ({ free: payload.quantity }),
});
const ship = defineCommand({ type: 'Ship', schema: z.object({}), handle() {} });
const contract = defineContract({
  type: 'Quote',
  schema: z.object({ cents: z.string().transform(Number) }),
  result: z.object({ at: z.string().transform((text) => new Date(text)) }),
});
const quote = implement(contract, { handle: () => ({ at: 'now' }) });

const payload = { sku: 'tea' };

// A function that is never called, so that the compiler sees the calls and nobody runs them.
export async function calls(): Promise<void> {
  expectTypeOf(await runCommand(reserve, { pool, payload })).toMatchTypeOf<{ result: { free: number } }>();
  expectTypeOf((await runCommand(ship, { tx, payload: {} })).result).toEqualTypeOf<null>();
  expectTypeOf((await runCommand(quote, { tx, payload: { cents: '1' }, keep: true })).result).toEqualTypeOf<{
    at: Date;
  }>();
  expectTypeOf((await runCommand(ship, { pool, payload: {} })).sent[0]!.payload).toEqualTypeOf<Json>();

  // @ts-expect-error the payload is that of the command
  await runCommand(reserve, { pool, payload: { sku: 5 } });
  // @ts-expect-error the payload is the schema's input, not its output
  await runCommand(quote, { pool, payload: { cents: 1 } });
  // @ts-expect-error a payload is required
  await runCommand(reserve, { pool });
  // @ts-expect-error a contract has no handler
  await runCommand(contract, { pool, payload: { cents: '1' } });
  // @ts-expect-error neither pool nor tx
  await runCommand(reserve, { payload });
  // @ts-expect-error both pool and tx
  await runCommand(reserve, { pool, tx, payload });
  // @ts-expect-error a pool is not a transaction
  await runCommand(reserve, { tx: pool, payload });
  // @ts-expect-error nothing can be kept of a transaction of its own
  await runCommand(reserve, { pool, keep: true, payload });
  // @ts-expect-error no such option
  await runCommand(reserve, { pool, payload, retries: 2 });
  // @ts-expect-error a Date, not text
  await runCommand(reserve, { pool, payload, receivedAt: '2026-01-01' });

  const test = await createTestInbox({ commands: [reserve, ship, quote] });
  expectTypeOf(await test.execute(reserve, { messageId: 'a', payload })).toEqualTypeOf<{ free: number }>();
  expectTypeOf(await test.execute({ type: 'Reserve', messageId: 'a', payload })).toEqualTypeOf<{
    free: number;
  }>();
  expectTypeOf(await test.execute(contract, { messageId: 'a', payload: { cents: '1' } })).toEqualTypeOf<{
    at: Date;
  }>();
  await inbox.send({ type: 'Ship', messageId: 'a', payload: {} });
  // @ts-expect-error no such type
  await test.send({ type: 'Shop', messageId: 'a', payload: {} });
  // @ts-expect-error the payload is that of the type
  await test.send({ type: 'Reserve', messageId: 'a', payload: { sku: 5 } });
  // @ts-expect-error the payload is that of the command
  await test.execute(reserve, { messageId: 'a', payload: { sku: 5 } });
  // @ts-expect-error no such status
  await test.reaches('a', 'Done');
  // @ts-expect-error a contract has no handler
  await createTestInbox({ commands: [contract] });
  // @ts-expect-error every test inbox has a task queue of its own
  await createTestInbox({ commands: [ship], settings: { taskQueue: 'mine' } });
}

describe('the types of the testing kit', () => {
  it('are checked when the tests are compiled', () => {
    expectTypeOf(calls).toBeFunction();
  });
});
