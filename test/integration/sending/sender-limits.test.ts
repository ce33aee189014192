/** Logins that may send only some message ids and command types, and what a sender sees of other senders' commands. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { isPermissionDenied } from '../../../src/platform/postgres.ts';
import { checkRoles } from '../../../src/health/roles.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createTestDatabase } from '../../support/database.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createLogin } from '../../support/login.ts';
import type { TestLogin } from '../../support/login.ts';

const message = (messageId: string, type = 'PlaceOrder') => ({
  messageId,
  type,
  payload: { secret: messageId },
});

const known = async (pool: TestLogin['pool']) => {
  const given = JSON.stringify([{ messageId: 'known', commandType: 'Pay', payload: {} }]);
  const { rows } = await pool.query('select * from inbox.known_messages($1)', [given]);
  return rows[0] as Record<string, unknown>;
};

describe('a sender', () => {
  let database: TestDatabase;
  let orders: TestLogin;
  let payments: TestLogin;
  let ordersInbox: Inbox;
  let paymentsInbox: Inbox;

  before(async () => {
    database = await createTestDatabase();
    orders = await createLogin(database, 'inbox_sender');
    payments = await createLogin(database, 'inbox_sender');
    await database.pool.query('insert into inbox.sender_limits values ($1, $2, $3)', [
      orders.name,
      'order-',
      ['PlaceOrder', 'CancelOrder'],
    ]);
    ordersInbox = await createInbox({ pool: orders.pool });
    paymentsInbox = await createInbox({ pool: payments.pool });
  });
  after(async () => {
    for (const inbox of [ordersInbox, paymentsInbox]) await inbox.close();
    for (const login of [orders, payments]) await login.drop();
    await database.drop();
  });

  it('is reported by the doctor if the limits misspell its login', async () => {
    assert.equal((await checkRoles(database.pool)).remedy, null);
    await database.pool.query(
      `insert into inbox.sender_limits (login, id_prefix) values ('ordesr', 'order-')`,
    );
    const { finding } = await checkRoles(database.pool);
    await database.pool.query(`delete from inbox.sender_limits where login = 'ordesr'`);
    assert.match(finding, /limits logins that do not exist: ordesr$/);
  });

  it('with limits sends only its own ids and types, on every way in', async () => {
    const { pool } = orders;
    assert.equal((await ordersInbox.send(message('order-1'))).answer, 'accepted');
    await pool.query(`select inbox.send('order-2', 'CancelOrder', '{}')`);
    const refused = [
      message('payment-1'),
      message('order-3', 'Transfer'),
      message('Order-4'),
      message('order'),
    ];
    for (const one of refused) {
      await assert.rejects(ordersInbox.send(one), isPermissionDenied);
      await assert.rejects(ordersInbox.send([message('order-5'), one]), isPermissionDenied);
      const sql = `select inbox.send($1, $2, '{}')`;
      await assert.rejects(pool.query(sql, [one.messageId, one.type]), isPermissionDenied);
      const json = JSON.stringify([{ messageId: one.messageId, commandType: one.type, payload: {} }]);
      for (const call of [`send_messages($1, 'nobody', 1)`, 'send_unblocked($1, 1)'])
        await assert.rejects(pool.query(`select inbox.${call}`, [json]), isPermissionDenied);
      await assert.rejects(pool.query('select inbox.known_messages($1)', [json]), isPermissionDenied);
    }
    // SET ROLE does not bypass the limits.
    const client = await pool.connect();
    await client.query('set role inbox_sender');
    await assert.rejects(
      client.query(`select inbox.send('payment-2', 'PlaceOrder', '{}')`),
      isPermissionDenied,
    );
    await client.query('reset role');
    client.release();
    const stored = await database.pool.query('select message_id from inbox.entries order by 1');
    assert.deepEqual(stored.rows, [{ message_id: 'order-1' }, { message_id: 'order-2' }]);
  });

  it('learns from the error which message it may not send, and where the limits are set', async () => {
    const error = await ordersInbox.send(message('payment-9')).catch((thrown: unknown) => thrown as Error);
    assert.match(
      (error as Error).message,
      /the login \w+ may only send message ids that begin with 'order-', and not 'payment-9'/,
    );
    assert.match((error as { hint?: string }).hint ?? '', /sender_limits/);
  });

  it('is not affected by a refused message in the same batch', async () => {
    const sends = ['order-a', 'payment-b', 'order-c'].map((id) => ordersInbox.send(message(id)));
    const ended = await Promise.allSettled(sends);
    assert.deepEqual(
      ended.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
  });

  it('sees its own commands, and those of others only if it knows their type and payload', async () => {
    await paymentsInbox.send(message('payment-own', 'Transfer'));
    assert.equal((await paymentsInbox.status('payment-own'))?.status, 'Pending');
    assert.equal(await ordersInbox.status('payment-own'), null);
    assert.equal(await paymentsInbox.status('order-1'), null);
    // Two services may send the same command: a sender that knows all of it may see its outcome.
    const repeated = await paymentsInbox.send(message('order-1'));
    assert.equal(repeated.answer, 'duplicate');
    await assert.rejects(paymentsInbox.send({ ...message('order-1'), payload: {} }), /another command type/);
    const { rows } = await payments.pool.query(`select * from inbox.known_messages($1)`, [
      JSON.stringify([{ messageId: 'order-1', commandType: 'PlaceOrder', payload: { guess: 1 } }]),
    ]);
    assert.deepEqual(
      rows.map(({ sent_id: id, same, status, payload }: Record<string, unknown>) => [
        id,
        same,
        status,
        payload,
      ]),
      [['order-1', false, null, null]],
    );
  });

  it('shows others only the outcome of a command, and nobody the channel of the waiting process', async () => {
    await payments.pool.query(
      `select inbox.send('known', 'Pay', '{}', correlation_id => 'flow', metadata => '{"token": "secret"}')`,
    );
    await database.pool.query(
      `update inbox.entries set reply_to = 'inbox_settled_0123456789abcdef' where message_id = 'known'`,
    );
    const own = await known(payments.pool);
    assert.deepEqual(
      [own['same'], own['correlation_id'], own['metadata']],
      [true, 'flow', { token: 'secret' }],
    );
    const other = await createLogin(database, 'inbox_sender');
    const others = await known(other.pool);
    assert.deepEqual([others['same'], others['correlation_id'], others['metadata']], [true, null, {}]);
    for (const row of [own, others]) assert.doesNotMatch(JSON.stringify(row), /inbox_settled/);
    const { rows } = await payments.pool.query(`select * from inbox.entry_of('known')`);
    assert.doesNotMatch(JSON.stringify(rows), /inbox_settled/);
    await other.drop();
  });

  it('cannot be limited to a null type, which would allow every type', async () => {
    await assert.rejects(
      database.pool.query(`insert into inbox.sender_limits values ('nobody', '', '{PlaceOrder,NULL}')`),
      (error) => (error as { code?: string }).code === '23514',
    );
  });

  it('with limits sees all messages with its prefix, including those of other logins', async () => {
    await paymentsInbox.send(message('order-of-payments'));
    assert.equal((await ordersInbox.status('order-of-payments'))?.status, 'Pending');
  });

  it('is recorded in the entries it sent', async () => {
    const { rows } = await database.pool.query(
      `select sent_by from inbox.entries where message_id in ('order-1', 'order-2', 'payment-own') order by message_id`,
    );
    assert.deepEqual(
      rows.map((row: { sent_by: string }) => row.sent_by),
      [orders.name, orders.name, payments.name],
    );
  });

  const call = (one: object) =>
    payments.pool.query(`select inbox.send_messages($1, 'nobody', 1)`, [
      JSON.stringify([{ messageId: 'm', commandType: 'T', payload: {}, metadata: {}, ...one }]),
    ]);

  it('cannot bypass the message rules by calling the functions that the package uses', async () => {
    const broken = [
      { messageId: '' },
      { messageId: ' ' },
      { messageId: 'a\u0007' },
      { messageId: 'x'.repeat(201) },
      { commandType: '' },
      { payload: undefined },
      { payload: { text: 'x'.repeat(1_048_576) } },
      { metadata: [] },
      { correlationId: 'x'.repeat(256) },
      { replyTo: 'inbox_pending' },
      { replyTo: 'somebody_elses_channel' },
    ];
    for (const one of broken)
      await assert.rejects(
        call(one),
        (error) => (error as { code?: string }).code === 'IB002',
        JSON.stringify(one).slice(0, 60),
      );
    const { rows } = await database.pool.query(`select from inbox.entries where message_id = 'm'`);
    assert.equal(rows.length, 0);
  });
});
