/**
 * What must compile and what must not: commands, contracts, payloads, results and settings. `npm run verify` compiles this
 * file; nothing runs it.
 */
import { expectTypeOf } from 'expect-type';
import { type } from 'arktype';
import type { Pool, PoolClient } from 'pg';
import * as v from 'valibot';
import { z } from 'zod';
import { z as z3 } from 'zod3';
import { createInbox, defineCommand, defineContract, implement, message } from 'temporal-inbox';
import type {
  CommandContract,
  CommandDefinition,
  Inbox,
  InferPayload,
  InferResult,
  Json,
  Sent,
} from 'temporal-inbox';

declare const pool: Pool;
declare const client: PoolClient;
declare const anyInbox: Inbox;

interface Line {
  readonly sku: string;
  quantity: number;
  note?: string;
}
interface Order {
  id: string;
  lines: readonly Line[];
  discount?: number;
}
/** Refers to itself. */
interface Tree {
  name: string;
  children: Tree[];
}

const schema = z.object({ sku: z.string(), quantity: z.int(), note: z.string().optional() });
const reserveStock = defineCommand({
  type: 'ReserveStock',
  schema,
  retry: { maximumAttempts: 3, initialInterval: '250ms', maximumInterval: '5 minutes' },
  timeout: '10s',
  async handle({ payload, prepared, messageId }) {
    expectTypeOf(payload).toEqualTypeOf<{ sku: string; quantity: number; note?: string | undefined }>();
    expectTypeOf(prepared).toEqualTypeOf<undefined>();
    expectTypeOf(messageId).toEqualTypeOf<string>();
    return { free: payload.quantity };
  },
});
const shipOrder = defineCommand({
  type: 'ShipOrder',
  schema: z.object({ orderId: z.string() }),
  async handle({ send }) {
    await send(reserveStock, { messageId: 'm', payload: { sku: 'a', quantity: 1 } });
    await send({ type: 'Anything', messageId: 'm', payload: { any: ['json'] } });
    // @ts-expect-error: the payload of ReserveStock has no such field
    await send(reserveStock, { messageId: 'm', payload: { sku: 'a', quantity: '1' } });
    // @ts-expect-error: JSON cannot hold a Date
    await send({ type: 'Anything', messageId: 'm', payload: { at: new Date() } });
  },
});

// What a command carries.
expectTypeOf(reserveStock.type).toEqualTypeOf<'ReserveStock'>();
expectTypeOf<InferPayload<typeof reserveStock>>().toEqualTypeOf<z.input<typeof schema>>();
expectTypeOf<InferResult<typeof reserveStock>>().toEqualTypeOf<{ free: number }>();
expectTypeOf<InferResult<typeof shipOrder>>().toEqualTypeOf<null>();
expectTypeOf(reserveStock).toExtend<CommandDefinition>();
expectTypeOf(reserveStock).toExtend<CommandContract>();

// Sending by value, with any inbox.
export async function byValue(): Promise<void> {
  expectTypeOf(
    await anyInbox.send(reserveStock, { messageId: 'm', payload: { sku: 'a', quantity: 1 } }),
  ).toEqualTypeOf<Sent>();
  await anyInbox.send(
    reserveStock,
    { messageId: 'm', payload: { sku: 'a', quantity: 1, note: 'x' } },
    { tx: client },
  );
  expectTypeOf(
    await anyInbox.execute(reserveStock, { messageId: 'm', payload: { sku: 'a', quantity: 1 } }),
  ).toEqualTypeOf<{ free: number }>();
  expectTypeOf(await anyInbox.execute(shipOrder, { messageId: 'm', payload: { orderId: 'o' } })).toBeNull();
  await anyInbox.sendMany([
    message(reserveStock, { messageId: 'm', payload: { sku: 'a', quantity: 1 } }),
    message(shipOrder, { messageId: 'n', payload: { orderId: 'o' }, correlationId: 'c' }),
    { type: 'Anything', messageId: 'o', payload: null },
  ]);
  // @ts-expect-error: quantity must be a number
  await anyInbox.send(reserveStock, { messageId: 'm', payload: { sku: 'a', quantity: '1' } });
  // @ts-expect-error: quantity is missing
  await anyInbox.send(reserveStock, { messageId: 'm', payload: { sku: 'a' } });
  // @ts-expect-error: the payload has no such field
  await anyInbox.send(reserveStock, { messageId: 'm', payload: { sku: 'a', quantity: 1, size: 'L' } });
  // @ts-expect-error: the message_id is missing
  await anyInbox.send(reserveStock, { payload: { sku: 'a', quantity: 1 } });
  // @ts-expect-error: a pool may run each statement on another connection
  await anyInbox.send(reserveStock, { messageId: 'm', payload: { sku: 'a', quantity: 1 } }, { tx: pool });
  // @ts-expect-error: quantity must be a number
  message(reserveStock, { messageId: 'm', payload: { sku: 'a', quantity: true } });
}

// Sending by name, without known commands: the payload must be JSON, and interfaces are JSON.
export async function byName(order: Order, tree: Tree): Promise<void> {
  await anyInbox.send({ type: 'PlaceOrder', messageId: 'm', payload: order });
  await anyInbox.send({ type: 'PlaceOrder', messageId: 'm', payload: tree });
  await anyInbox.send({ type: 'PlaceOrder', messageId: 'm', payload: [1, 'a', null, { deep: [true] }] });
  await anyInbox.send([{ type: 'PlaceOrder', messageId: 'm', payload: {} }]);
  expectTypeOf(
    await anyInbox.execute({ type: 'PlaceOrder', messageId: 'm', payload: order }),
  ).toEqualTypeOf<Json>();
  // @ts-expect-error: JSON cannot hold a Date
  await anyInbox.send({ type: 'PlaceOrder', messageId: 'm', payload: { at: new Date() } });
  // @ts-expect-error: JSON cannot hold a Map
  await anyInbox.send({ type: 'PlaceOrder', messageId: 'm', payload: new Map<string, string>() });
  // @ts-expect-error: JSON cannot hold a bigint
  await anyInbox.send({ type: 'PlaceOrder', messageId: 'm', payload: [1n] });
}

// Sending by name, with known commands.
export async function byKnownName(): Promise<void> {
  const inbox = await createInbox({ pool, commands: [reserveStock, shipOrder] });
  const general: Inbox = inbox;
  await general.close();
  await inbox.send({ type: 'ReserveStock', messageId: 'm', payload: { sku: 'a', quantity: 1 } });
  expectTypeOf(
    await inbox.execute({
      type: 'ReserveStock',
      messageId: 'm',
      payload: { sku: 'a', quantity: 1 },
    }),
  ).toEqualTypeOf<{ free: number }>();
  expectTypeOf(
    await inbox.execute({ type: 'ShipOrder', messageId: 'm', payload: { orderId: 'o' } }),
  ).toBeNull();
  await inbox.send({
    // @ts-expect-error: no command has this name
    type: 'ReserveStocks',
    messageId: 'm',
    payload: { sku: 'a', quantity: 1 },
  });
  await inbox.execute({
    // @ts-expect-error: no command has this name
    type: 'ReserveStocks',
    messageId: 'm',
    payload: { sku: 'a', quantity: 1 },
  });
  // @ts-expect-error: this is the payload of another command
  await inbox.send({ type: 'ReserveStock', messageId: 'm', payload: { orderId: 'o' } });
  await inbox.sendMany([
    { type: 'ShipOrder', messageId: 'm', payload: { orderId: 'o' } },
    message(reserveStock, { messageId: 'm', payload: { sku: 'a', quantity: 1 } }),
    // @ts-expect-error: no command has this name
    { type: 'Other', messageId: 'm', payload: { orderId: 'o' } },
  ]);
}

// Payloads: the sender passes the schema's input, the handler gets its output.
const schedule = defineCommand({
  type: 'Schedule',
  schema: z.object({
    at: z.iso.datetime().transform((text) => new Date(text)),
    times: z.int().default(1),
    kind: z.union([z.literal('once'), z.object({ every: z.int() })]),
  }),
  handle({ payload }) {
    expectTypeOf(payload.at).toEqualTypeOf<Date>();
    expectTypeOf(payload.times).toEqualTypeOf<number>();
    return payload.kind === 'once' ? { kind: 'once' as const } : { kind: 'every' as const, every: 1 };
  },
});
expectTypeOf<InferPayload<typeof schedule>>().toEqualTypeOf<{
  at: string;
  times?: number | undefined;
  kind: 'once' | { every: number };
}>();
expectTypeOf<InferResult<typeof schedule>['kind']>().toEqualTypeOf<'once' | 'every'>();

defineCommand({
  type: 'Wrong',
  // @ts-expect-error: JSON never contains a Date, so no message could satisfy this schema
  schema: z.object({ at: z.date() }),
  handle() {},
});

// Results.
const results = {
  interface: defineCommand({ type: 'A', schema, handle: (): Order => ({ id: 'o', lines: [] }) }),
  recursive: defineCommand({ type: 'B', schema, handle: (): Tree => ({ name: 'a', children: [] }) }),
  tuple: defineCommand({ type: 'C', schema, handle: (): readonly [string, number] => ['a', 1] }),
  optional: defineCommand({ type: 'D', schema, handle: (): { a?: string } => ({}) }),
  json: defineCommand({ type: 'E', schema, handle: (): Json => null }),
  text: defineCommand({ type: 'F', schema, handle: () => 'done' }),
};
expectTypeOf<InferResult<typeof results.interface>>().toEqualTypeOf<Order>();
expectTypeOf<InferResult<typeof results.tuple>>().toEqualTypeOf<readonly [string, number]>();
expectTypeOf<InferResult<typeof results.json>>().toEqualTypeOf<Json>();
expectTypeOf<InferResult<typeof results.text>>().toEqualTypeOf<string>();
// @ts-expect-error: JSON cannot hold a Date
defineCommand({ type: 'R1', schema, handle: () => ({ at: new Date() }) });
defineCommand({
  type: 'R2',
  schema,
  // @ts-expect-error: JSON cannot hold a Map
  async handle() {
    return new Map([['a', 1]]);
  },
});
// @ts-expect-error: JSON cannot hold a bigint
defineCommand({ type: 'R3', schema, handle: async () => ({ list: [{ cents: 1n }] }) });
// @ts-expect-error: JSON cannot hold a function
defineCommand({ type: 'R4', schema, handle: () => ({ later: () => 1 }) });

// Settings.
// @ts-expect-error: not a duration
defineCommand({ type: 'S1', schema, timeout: '10 parsecs', handle() {} });
// @ts-expect-error: not a duration
defineCommand({ type: 'S2', schema, retry: { initialInterval: 'soon' }, handle() {} });
// @ts-expect-error: a long-running command needs its workflow from the start
defineCommand({ type: 'S3', schema, longRunning: true, express: true, handle() {} });
// @ts-expect-error: the same for recorded commands
defineCommand({ type: 'S4', schema, express: 'recorded', longRunning: true, handle() {} });
// @ts-expect-error: no such mode
defineCommand({ type: 'S5', schema, express: 'remembered', handle() {} });
defineCommand({ type: 'S6', schema, longRunning: true, express: false, handle() {} });
defineCommand({ ...reserveStock, type: 'S7', express: true });
// @ts-expect-error: the handler is missing
defineCommand({ type: 'S8', schema });

// prepare.
defineCommand({
  type: 'Prepared',
  schema,
  async prepare({ payload, signal }) {
    expectTypeOf(payload.sku).toEqualTypeOf<string>();
    expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
    return { price: payload.quantity, at: new Date() };
  },
  handle({ prepared, payload }) {
    expectTypeOf(prepared).toEqualTypeOf<{ price: number; at: Date }>();
    return { total: prepared.price * payload.quantity };
  },
});
defineCommand({
  type: 'PreparedWithoutTx',
  schema,
  // @ts-expect-error: there is no transaction yet
  prepare: ({ tx }) => tx,
  handle() {},
});

// Contracts.
const contract = defineContract({
  type: 'ReserveStock',
  schema,
  result: z.object({ free: z.int(), until: z.iso.datetime().transform((text) => new Date(text)) }),
});
expectTypeOf<InferPayload<typeof contract>>().toEqualTypeOf<z.input<typeof schema>>();
expectTypeOf<InferResult<typeof contract>>().toEqualTypeOf<{ free: number; until: Date }>();
const implemented = implement(contract, {
  retry: { maximumAttempts: 2 },
  async prepare() {
    return 5;
  },
  async handle({ payload, prepared }) {
    expectTypeOf(payload.quantity).toEqualTypeOf<number>();
    expectTypeOf(prepared).toEqualTypeOf<number>();
    return { free: prepared, until: '2026-01-01T00:00:00Z' };
  },
});
expectTypeOf(implemented.type).toEqualTypeOf<'ReserveStock'>();
expectTypeOf(implemented).toExtend<CommandDefinition>();
implement(contract, {
  // @ts-expect-error: the contract promises `free`
  async handle() {
    return { frei: 1, until: '' };
  },
});
const untyped = defineContract({ type: 'Untyped', schema });
expectTypeOf<InferResult<typeof untyped>>().toEqualTypeOf<unknown>();
const implementedUntyped = implement(untyped, { handle: () => ({ done: true }) });
expectTypeOf<InferResult<typeof implementedUntyped>>().toEqualTypeOf<{ done: boolean }>();
// @ts-expect-error: JSON cannot hold a Set
implement(untyped, { handle: () => new Set([1]) });

// Other schema libraries.
const withValibot = defineCommand({
  type: 'Valibot',
  schema: v.object({ sku: v.string(), count: v.optional(v.number(), 1) }),
  handle({ payload }) {
    expectTypeOf(payload).toEqualTypeOf<{ sku: string; count: number }>();
  },
});
expectTypeOf<InferPayload<typeof withValibot>>().toEqualTypeOf<{ sku: string; count?: number | undefined }>();
const withArkType = defineCommand({
  type: 'ArkType',
  schema: type({ sku: 'string', 'count?': 'number' }),
  handle({ payload }) {
    expectTypeOf(payload).toEqualTypeOf<{ sku: string; count?: number }>();
  },
});
expectTypeOf<InferPayload<typeof withArkType>>().toEqualTypeOf<{ sku: string; count?: number }>();
const withZod3 = defineCommand({
  type: 'Zod3',
  schema: z3.object({ sku: z3.string(), count: z3.number().default(1) }),
  handle({ payload }) {
    expectTypeOf(payload).toEqualTypeOf<{ sku: string; count: number }>();
  },
});
expectTypeOf<InferPayload<typeof withZod3>>().toEqualTypeOf<{ sku: string; count?: number | undefined }>();
// @ts-expect-error: not a schema
defineCommand({ type: 'NoSchema', schema: { parse: () => 1 }, handle() {} });

// The compiler points at the mistake, even in a call over several lines.
defineCommand({
  type: 'Next',
  schema,
  async handle({ send }) {
    await send(reserveStock, {
      messageId: 'm',
      payload: {
        sku: 'a',
        // @ts-expect-error: must be a number
        quantity: '1',
      },
    });
    await send({
      type: 'Anything',
      messageId: 'm',
      payload: {
        // @ts-expect-error: JSON cannot hold a Date
        at: new Date(),
      },
    });
  },
});
export async function locations(): Promise<void> {
  await anyInbox.send(
    reserveStock,
    {
      messageId: 'm',
      payload: {
        sku: 'a',
        // @ts-expect-error: must be a number
        quantity: '1',
      },
    },
    { tx: client },
  );
  await anyInbox.execute(reserveStock, {
    messageId: 'm',
    // @ts-expect-error: the quantity is missing
    payload: {
      sku: 'a',
    },
  });
  await anyInbox.send(
    { type: 'Anything', messageId: 'm', payload: 1 },
    {
      // @ts-expect-error: a pool may run each statement on another connection
      tx: pool,
    },
  );
  await anyInbox.send({
    type: 'Anything',
    messageId: 'm',
    payload: {
      ok: 1,
      // @ts-expect-error: JSON cannot hold a Date
      at: new Date(),
    },
  });
  const inbox = await createInbox({ pool, commands: [reserveStock, shipOrder] });
  await inbox.send({
    type: 'ReserveStock',
    messageId: 'm',
    payload: {
      sku: 'a',
      // @ts-expect-error: must be a number
      quantity: '1',
    },
  });
  await anyInbox.sendMany([
    message(reserveStock, {
      messageId: 'm',
      payload: {
        sku: 'a',
        // @ts-expect-error: must be a number
        quantity: '1',
      },
    }),
  ]);
}

// Functions over any command.
export function generic<Command extends CommandContract>(command: Command, payload: InferPayload<Command>) {
  void anyInbox.send(command, { messageId: 'm', payload });
  const result: Promise<InferResult<Command>> = anyInbox.execute(command, { messageId: 'm', payload });
  return result;
}
// @ts-expect-error: only a single message has a result
void anyInbox.execute([{ type: 'Anything', messageId: 'm', payload: 1 }]);
const nothing = implement(untyped, { handle() {} });
expectTypeOf<InferResult<typeof nothing>>().toEqualTypeOf<null>();
