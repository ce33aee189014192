/**
 * Commands and a table for the tests of the testing kit.
 *
 * @module
 */
import type { Pool } from 'pg';
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';
import type { HandlerContext } from '../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../src/core/errors.ts';
import type { Duration } from '../../src/core/duration.ts';
import { rows } from './rows.ts';

/** Creates the table of the commands, with one product. The schema is not that of the inbox, whose name the login has. */
export async function createStock(pool: Pool): Promise<void> {
  await pool.query(`create schema shop;
    create table shop.stock (sku text primary key, free integer not null check (free >= 0));
    insert into shop.stock values ('tea', 10)`);
}

export async function freeTea(pool: Pool): Promise<number | undefined> {
  const [tea] = await rows<{ free: number }>(pool, `select free from shop.stock where sku = 'tea'`);
  return tea?.free;
}

export const TAKE_TEA = `update shop.stock set free = free - 1 where sku = 'tea'`;

export const shipOrder = defineCommand({
  type: 'ShipOrder',
  schema: z.object({ orderId: z.string(), parcels: z.int().positive().default(1) }),
  async handle({ tx, payload: { orderId } }) {
    if (orderId === 'lost') throw new UnrecoverableError('OrderLost', { orderId });
    await tx.query(TAKE_TEA);
  },
});

export const reserveStock = defineCommand({
  type: 'ReserveStock',
  schema: z.object({ sku: z.string(), quantity: z.int().positive() }),
  async handle({ payload: { sku, quantity }, tx, emit, send, messageId }) {
    const { rows: found } = await tx.query<{ free: number }>(
      'update shop.stock set free = free - $1 where sku = $2 returning free',
      [quantity, sku],
    );
    const [stock] = found;
    if (!stock) throw new UnrecoverableError('UnknownProduct', { sku });
    emit({ aggregateType: 'stock', aggregateId: sku, type: 'StockReserved', payload: { sku, quantity } });
    await send(shipOrder, { messageId: `${messageId}-ship`, payload: { orderId: messageId } });
    return { free: stock.free };
  },
});

export type Behavior = (context: HandlerContext<{ n?: number | undefined }>) => unknown;

/** A command with this handler. */
export const behaving = (handle: Behavior, timeout: Duration = '5s') =>
  defineCommand({
    type: 'Behave',
    schema: z.object({ n: z.number().optional() }),
    timeout,
    handle: async (context): Promise<null> => ((await handle(context)) ?? null) as null,
  });
