import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { after, before, describe, it } from 'node:test';
import type { Pool } from 'pg';
import { checkConservation } from '../../../examples/bank/conservation.ts';
import { createAccount, transferFunds } from '../../../examples/bank/commands.ts';
import type { HttpServer } from '../../../examples/bank/http-server.ts';
import { startHttpServer } from '../../../examples/bank/http-server.ts';
import { createBankSchema } from '../../../examples/bank/schema.ts';
import { createPool } from '../../../src/platform/postgres.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createLog } from '../../../src/platform/log.ts';
import type { Answer } from '../../support/bank-http.ts';
import { ask, assertProblem, post, transfer } from '../../support/bank-http.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import type { Proxy } from '../../support/proxy.ts';
import { startProxy } from '../../support/proxy.ts';
import { eventually } from '../../support/wait.ts';

const quiet = createLog('error', () => {});
const OPENING_CENTS = 1_000;

describe('the bank’s HTTP API', () => {
  let inbox: TestInbox;
  let server: HttpServer;
  let sender: Inbox;

  before(async () => {
    inbox = await createTestInbox();
    await createBankSchema(inbox.pool);
    server = await startHttpServer({ pool: inbox.pool, log: quiet });
    await inbox.startWorker([createAccount, transferFunds]);
    sender = await createInbox({ pool: inbox.pool });
    for (const accountId of ['alice', 'bob']) await openAccount(accountId, OPENING_CENTS);
  });
  after(async () => {
    await server.stop();
    await sender.close();
    await inbox.close();
  });

  const openAccount = (accountId: string, openingBalanceCents: number, messageId = inbox.id(accountId)) =>
    sender.execute({
      messageId,
      type: 'CreateAccount',
      payload: { accountId, owner: accountId, openingBalanceCents },
    });

  /** A key that is unique to this run, because its message_id is a workflow ID on a shared Temporal server. */
  const key = (name: string) => inbox.id(name);

  /** Counts the effects of a request: rows in the API's table, entries in the inbox, and withdrawals. */
  async function effectsOf(
    used: string,
  ): Promise<{ requests: number; entries: number; withdrawals: number }> {
    const [row] = await rows<{ requests: number; entries: number; withdrawals: number }>(
      inbox.pool,
      `select (select count(*) from bank.transfer_requests where idempotency_key = $1)::integer as requests,
              (select count(*) from inbox.entries where message_id = 'transfer-' || $1)::integer as entries,
              (select count(*) from bank.events
               where message_id = 'transfer-' || $1 and type = 'TransferSent')::integer as withdrawals`,
      [used],
    );
    return row!;
  }
  const noEffects = { requests: 0, entries: 0, withdrawals: 0 };
  const oneTransfer = { requests: 1, entries: 1, withdrawals: 1 };

  function waitForStatus(used: string, status: string): Promise<Answer> {
    return eventually(`${used} is ${status}`, async () => {
      const answer = await ask(`${server.url}/transfers/${encodeURIComponent(used)}`);
      return answer.body['status'] === status ? answer : null;
    });
  }

  it('accepts a transfer and returns a Location that shows its status and result', async () => {
    const accepted = await post(server, key('first'));
    assert.equal(accepted.status, 202);
    assert.equal(accepted.headers.get('idempotency-replayed'), null);
    assert.equal(accepted.body['status'], 'Pending');
    const location = accepted.headers.get('location')!;
    assert.equal(location, `/transfers/${key('first')}`);

    await waitForStatus(key('first'), 'Completed');
    const { status, body, headers } = await ask(new URL(location, server.url).href);
    assert.equal(status, 200);
    assert.equal(headers.get('cache-control'), 'no-store');
    const { requestedAt, completedAt, ...rest } = body;
    assert.ok(Date.parse(requestedAt as string) <= Date.parse(completedAt as string));
    assert.deepEqual(rest, { key: key('first'), status: 'Completed', transfer, result: transfer });
    assert.deepEqual(await effectsOf(key('first')), oneTransfer);
    const head = await ask(new URL(location, server.url).href, { method: 'HEAD' });
    assert.deepEqual([head.status, head.body], [200, {}]);
  });

  it('answers a repeated request with the same Location and marks it as replayed', async () => {
    await post(server, key('again'));
    await waitForStatus(key('again'), 'Completed');
    const repeated = await post(server, key('again'));
    assert.equal(repeated.status, 202);
    assert.equal(repeated.headers.get('idempotency-replayed'), 'true');
    assert.equal(repeated.headers.get('location'), `/transfers/${key('again')}`);
    assert.deepEqual(repeated.body['result'], transfer);
    assert.deepEqual(await effectsOf(key('again')), oneTransfer);
  });

  it('makes one transfer for fifty concurrent requests with the same key', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => post(server, key('crowd'))));
    assert.deepEqual(
      answers.map(({ status }) => status),
      answers.map(() => 202),
    );
    const first = answers.filter(({ headers }) => headers.get('idempotency-replayed') === null);
    assert.equal(first.length, 1);
    await waitForStatus(key('crowd'), 'Completed');
    assert.deepEqual(await effectsOf(key('crowd')), oneTransfer);
  });

  it('makes one transfer when a client loses the response and repeats the request', async () => {
    const lost = request(`${server.url}/transfers`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key('lost') },
    });
    let answered = false;
    lost.on('response', () => (answered = true));
    // The client gets this error instead of a response.
    const disconnected = once(lost, 'error');
    lost.end(JSON.stringify(transfer), () => lost.destroy());
    await disconnected;
    assert.equal(answered, false);
    await eventually(
      'the request was accepted anyway',
      async () => (await effectsOf(key('lost'))).entries === 1,
    );
    const repeated = await post(server, key('lost'));
    assert.deepEqual([repeated.status, repeated.headers.get('idempotency-replayed')], [202, 'true']);
    await waitForStatus(key('lost'), 'Completed');
    assert.deepEqual(await effectsOf(key('lost')), oneTransfer);
  });

  it('rejects a key that is reused for a different transfer, and does not change the first one', async () => {
    await post(server, key('reused'));
    await waitForStatus(key('reused'), 'Completed');
    assertProblem(
      await post(server, key('reused'), { ...transfer, amountCents: 6 }),
      422,
      'idempotency-key-reused',
    );
    assert.deepEqual((await waitForStatus(key('reused'), 'Completed')).body['transfer'], transfer);
    assert.deepEqual(await effectsOf(key('reused')), oneTransfer);
  });

  it('accepts a key with or without quotes, and with any visible ASCII character', async () => {
    assert.equal((await post(server, `"${key('quo\\"ted')}"`)).status, 202);
    const bare = await post(server, key('quo"ted'));
    assert.equal(bare.headers.get('idempotency-replayed'), 'true');
    const odd = `${key('odd')}/../?a=%41#~`.padEnd(191, 'x');
    const { headers } = await post(server, odd);
    await waitForStatus(odd, 'Completed');
    const { status, body } = await ask(new URL(headers.get('location')!, server.url).href);
    assert.deepEqual([status, body['key']], [200, odd]);
  });

  it('rejects a key whose entry the inbox has pruned', async () => {
    const unaffordable = { ...transfer, amountCents: 1_000_000 };
    await post(server, key('pruned'), unaffordable);
    await waitForStatus(key('pruned'), 'DeadLetter');
    for (const table of ['failures', 'dead_letters', 'entries']) {
      await inbox.pool.query(`delete from inbox.${table} where message_id = $1`, [
        `transfer-${key('pruned')}`,
      ]);
    }
    assertProblem(await post(server, key('pruned'), unaffordable), 422, 'idempotency-key-used-up');
    assert.deepEqual(await effectsOf(key('pruned')), { ...noEffects, requests: 1 });
  });

  it('shows the type of a failure but not the balance of the account', async () => {
    const unaffordable = { ...transfer, amountCents: 1_000_000 };
    await post(server, key('unaffordable'), unaffordable);
    const { requestedAt, ...dead } = (await waitForStatus(key('unaffordable'), 'DeadLetter')).body;
    assert.ok(Date.parse(requestedAt as string));
    assert.deepEqual(dead, {
      key: key('unaffordable'),
      status: 'DeadLetter',
      transfer: unaffordable,
      failure: { type: 'InsufficientFunds' },
    });
    const toNobody = { ...transfer, to: 'nobody' };
    await post(server, key('nobody'), toNobody);
    const answer = await waitForStatus(key('nobody'), 'Failed');
    const { requestedAt: _, nextRetryAt, ...failed } = answer.body;
    assert.ok(Date.parse(nextRetryAt as string));
    assert.deepEqual(failed, {
      key: key('nobody'),
      status: 'Failed',
      transfer: toNobody,
      failure: { type: 'AccountNotFound' },
    });
    // The stored error has the balance, so the API must leave it out.
    const entry = await inbox.entry(`transfer-${key('unaffordable')}`);
    assert.match(entry!.error!, /balanceCents/);
    // The failed transfer waits for this account.
    await openAccount('nobody', 0);
    await waitForStatus(key('nobody'), 'Completed');
  });

  it('stores neither the row nor the entry when the transaction fails after sending', async () => {
    await inbox.pool.query(
      'alter table bank.transfer_requests add constraint lucky check (amount_cents <> 13)',
    );
    const unlucky = { ...transfer, amountCents: 13 };
    assertProblem(await post(server, key('unlucky'), unlucky), 500, 'internal');
    assert.deepEqual(await effectsOf(key('unlucky')), noEffects);
    await inbox.pool.query('alter table bank.transfer_requests drop constraint lucky');
    const repeated = await post(server, key('unlucky'), unlucky);
    assert.deepEqual([repeated.status, repeated.headers.get('idempotency-replayed')], [202, null]);
    await waitForStatus(key('unlucky'), 'Completed');
    assert.deepEqual(await effectsOf(key('unlucky')), oneTransfer);
  });

  it('does not show commands of other types', async () => {
    await openAccount('carol', 0, `transfer-${key('carol')}`);
    assertProblem(await ask(`${server.url}/transfers/${key('carol')}`), 404, 'not-found');
  });

  const postgresPort = () => Number(new URL(inbox.database.url).port);

  /** Waits until a session of the API is blocked by a lock that the test holds. */
  const waitForBlockedSession = (what: string) =>
    eventually(what, async () => {
      const sql = `select from pg_stat_activity where application_name = 'bank behind a proxy'
                   and datname = current_database() and wait_event_type = 'Lock'`;
      return (await rows(inbox.pool, sql)).length === 1;
    });

  describe('when the connection to Postgres', () => {
    let proxy: Proxy;
    let pool: Pool;
    let proxied: HttpServer;

    before(async () => {
      proxy = await startProxy(postgresPort());
      const url = new URL(inbox.database.url);
      url.hostname = '127.0.0.1';
      url.port = String(proxy.port);
      pool = createPool({ connectionString: url.href, max: 4, applicationName: 'bank behind a proxy' });
      proxied = await startHttpServer({ pool, log: quiet });
    });
    after(async () => {
      await proxied.stop();
      await pool.end();
      await proxy.close();
    });

    it('is refused, answers 503 with Retry-After and accepts the same key later', async () => {
      await proxy.close();
      const refused = await post(proxied, key('away'));
      assertProblem(refused, 503, 'unavailable');
      assert.ok(Number(refused.headers.get('retry-after')) > 0);
      assertProblem(await ask(`${proxied.url}/transfers/${key('away')}`), 503, 'unavailable');
      assert.deepEqual(await effectsOf(key('away')), noEffects);

      proxy = await startProxy(postgresPort(), proxy.port);
      const repeated = await post(proxied, key('away'));
      assert.deepEqual([repeated.status, repeated.headers.get('idempotency-replayed')], [202, null]);
      await waitForStatus(key('away'), 'Completed');
      assert.deepEqual(await effectsOf(key('away')), oneTransfer);
    });

    it('is lost between the two writes, stores neither of them', async () => {
      const holder = await inbox.pool.connect();
      await holder.query('begin; lock table bank.transfer_requests in exclusive mode');
      const answer = post(proxied, key('halfway'));
      await waitForBlockedSession('the API has sent the command and waits to insert its own row');
      proxy.cut();
      assertProblem(await answer, 503, 'unavailable');
      await holder.query('rollback');
      holder.release();
      // The session notices the lost connection only after it has the lock. Then its transaction ends.
      await eventually('the transaction has ended', async () => {
        const sql = `select from pg_stat_activity where application_name = 'bank behind a proxy'
                     and datname = current_database() and xact_start is not null`;
        return (await rows(inbox.pool, sql)).length === 0;
      });
      assert.deepEqual(await effectsOf(key('halfway')), noEffects);
      assert.equal((await post(proxied, key('halfway'))).headers.get('idempotency-replayed'), null);
      await waitForStatus(key('halfway'), 'Completed');
      assert.deepEqual(await effectsOf(key('halfway')), oneTransfer);
    });

    it('is lost during COMMIT, finds the transfer when the request is repeated', async () => {
      await inbox.pool.query(`
        create function bank.wait_in_commit() returns trigger language plpgsql as
          $$ begin perform pg_advisory_xact_lock(4711); return null; end $$;
        create constraint trigger wait_in_commit after insert on bank.transfer_requests
          deferrable initially deferred for each row execute function bank.wait_in_commit()`);
      const holder = await inbox.pool.connect();
      await holder.query('select pg_advisory_lock(4711)');
      const answer = post(proxied, key('unanswered'));
      await waitForBlockedSession('the API has sent COMMIT');
      proxy.cut();
      assertProblem(await answer, 503, 'unavailable');
      assert.deepEqual(
        await effectsOf(key('unanswered')),
        noEffects,
        'the transaction has not committed yet',
      );
      await holder.query('select pg_advisory_unlock(4711)');
      holder.release();
      await waitForStatus(key('unanswered'), 'Completed');
      const repeated = await post(proxied, key('unanswered'));
      assert.deepEqual([repeated.status, repeated.headers.get('idempotency-replayed')], [202, 'true']);
      assert.deepEqual(await effectsOf(key('unanswered')), oneTransfer);
    });
  });

  it('has conserved the money and executed each transfer once', async () => {
    await eventually('all entries are settled', async () => {
      const open = `select from inbox.entries where status not in ('Completed', 'DeadLetter')`;
      return (await rows(inbox.pool, open)).length === 0;
    });
    const { balanceCents, problems } = await checkConservation(inbox.pool);
    assert.deepEqual({ balanceCents, problems }, { balanceCents: BigInt(2 * OPENING_CENTS), problems: [] });
    const orphans = await rows(
      inbox.pool,
      `select idempotency_key, message_id from bank.transfer_requests
       full join (select message_id from inbox.entries where command_type = 'TransferFunds') as entries
         on message_id = 'transfer-' || idempotency_key
       where (idempotency_key is null or message_id is null) and idempotency_key is distinct from $1`,
      [key('pruned')],
    );
    assert.deepEqual(orphans, [], 'every row has its entry, and every entry has its row');
  });
});
