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
import type { Inbox } from '../../../src/sending/inbox.ts';
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

  /** No other run has it: its message_id is a workflow's ID in a Temporal that others use too. */
  const key = (name: string) => inbox.id(name);

  /** What there is of a key: rows of the API, entries of the inbox, and withdrawals from alice. */
  async function traces(used: string): Promise<{ requests: number; entries: number; withdrawals: number }> {
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
  const nothing = { requests: 0, entries: 0, withdrawals: 0 };
  const once1 = { requests: 1, entries: 1, withdrawals: 1 };

  function reaches(used: string, status: string): Promise<Answer> {
    return eventually(`${used} is ${status}`, async () => {
      const answer = await ask(`${server.url}/transfers/${encodeURIComponent(used)}`);
      return answer.body['status'] === status ? answer : null;
    });
  }

  it('accepts a transfer, says where to look, and shows there what became of it', async () => {
    const accepted = await post(server, key('first'));
    assert.equal(accepted.status, 202);
    assert.equal(accepted.headers.get('idempotency-replayed'), null);
    assert.equal(accepted.body['status'], 'Pending');
    const location = accepted.headers.get('location')!;
    assert.equal(location, `/transfers/${key('first')}`);

    await reaches(key('first'), 'Completed');
    const { status, body, headers } = await ask(new URL(location, server.url).href);
    assert.equal(status, 200);
    assert.equal(headers.get('cache-control'), 'no-store');
    const { requestedAt, completedAt, ...rest } = body;
    assert.ok(Date.parse(requestedAt as string) <= Date.parse(completedAt as string));
    assert.deepEqual(rest, { key: key('first'), status: 'Completed', transfer, result: transfer });
    assert.deepEqual(await traces(key('first')), once1);
    const head = await ask(new URL(location, server.url).href, { method: 'HEAD' });
    assert.deepEqual([head.status, head.body], [200, {}]);
  });

  it('answers a repeat the same, and says that it is one', async () => {
    await post(server, key('again'));
    await reaches(key('again'), 'Completed');
    const repeated = await post(server, key('again'));
    assert.equal(repeated.status, 202);
    assert.equal(repeated.headers.get('idempotency-replayed'), 'true');
    assert.equal(repeated.headers.get('location'), `/transfers/${key('again')}`);
    assert.deepEqual(repeated.body['result'], transfer);
    assert.deepEqual(await traces(key('again')), once1);
  });

  it('makes one transfer of fifty repeats at once', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => post(server, key('crowd'))));
    assert.deepEqual(
      answers.map(({ status }) => status),
      answers.map(() => 202),
    );
    const first = answers.filter(({ headers }) => headers.get('idempotency-replayed') === null);
    assert.equal(first.length, 1);
    await reaches(key('crowd'), 'Completed');
    assert.deepEqual(await traces(key('crowd')), once1);
  });

  it('makes one transfer for a client that lost the answer and asks again', async () => {
    const lost = request(`${server.url}/transfers`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key('lost') },
    });
    let answered = false;
    lost.on('response', () => (answered = true));
    // What it gets instead of an answer.
    const hungUp = once(lost, 'error');
    lost.end(JSON.stringify(transfer), () => lost.destroy());
    await hungUp;
    assert.equal(answered, false);
    await eventually('it was accepted all the same', async () => (await traces(key('lost'))).entries === 1);
    const repeated = await post(server, key('lost'));
    assert.deepEqual([repeated.status, repeated.headers.get('idempotency-replayed')], [202, 'true']);
    await reaches(key('lost'), 'Completed');
    assert.deepEqual(await traces(key('lost')), once1);
  });

  it('refuses a key that comes with another transfer, and leaves the first as it was', async () => {
    await post(server, key('reused'));
    await reaches(key('reused'), 'Completed');
    assertProblem(
      await post(server, key('reused'), { ...transfer, amountCents: 6 }),
      422,
      'idempotency-key-reused',
    );
    assert.deepEqual((await reaches(key('reused'), 'Completed')).body['transfer'], transfer);
    assert.deepEqual(await traces(key('reused')), once1);
  });

  it('takes a key with or without the quotes of the draft, and with any visible character', async () => {
    assert.equal((await post(server, `"${key('quo\\"ted')}"`)).status, 202);
    const bare = await post(server, key('quo"ted'));
    assert.equal(bare.headers.get('idempotency-replayed'), 'true');
    const odd = `${key('odd')}/../?a=%41#~`.padEnd(191, 'x');
    const { headers } = await post(server, odd);
    await reaches(odd, 'Completed');
    const { status, body } = await ask(new URL(headers.get('location')!, server.url).href);
    assert.deepEqual([status, body['key']], [200, odd]);
  });

  it('refuses a key that the inbox has forgotten and the bank has not', async () => {
    const dear = { ...transfer, amountCents: 1_000_000 };
    await post(server, key('pruned'), dear);
    await reaches(key('pruned'), 'DeadLetter');
    for (const table of ['failures', 'dead_letters', 'entries']) {
      await inbox.pool.query(`delete from inbox.${table} where message_id = $1`, [
        `transfer-${key('pruned')}`,
      ]);
    }
    assertProblem(await post(server, key('pruned'), dear), 422, 'idempotency-key-used-up');
    assert.deepEqual(await traces(key('pruned')), { ...nothing, requests: 1 });
  });

  it('tells of a failure its type, and not what is in the account', async () => {
    await post(server, key('dear'), { ...transfer, amountCents: 1_000_000 });
    const dead = await reaches(key('dear'), 'DeadLetter');
    assert.deepEqual(dead.body['failure'], { type: 'InsufficientFunds' });
    await post(server, key('nobody'), { ...transfer, to: 'nobody' });
    const failed = await reaches(key('nobody'), 'Failed');
    assert.deepEqual(failed.body['failure'], { type: 'AccountNotFound' });
    assert.ok(Date.parse(failed.body['nextRetryAt'] as string));
    for (const { body } of [dead, failed])
      assert.doesNotMatch(JSON.stringify(body), /balance|stack|no account/i);
    // What it waits for.
    await openAccount('nobody', 0);
    await reaches(key('nobody'), 'Completed');
  });

  it('keeps neither row nor entry of a transaction that fails after sending', async () => {
    await inbox.pool.query(
      'alter table bank.transfer_requests add constraint lucky check (amount_cents <> 13)',
    );
    const unlucky = { ...transfer, amountCents: 13 };
    assertProblem(await post(server, key('unlucky'), unlucky), 500, 'internal');
    assert.deepEqual(await traces(key('unlucky')), nothing);
    await inbox.pool.query('alter table bank.transfer_requests drop constraint lucky');
    const repeated = await post(server, key('unlucky'), unlucky);
    assert.deepEqual([repeated.status, repeated.headers.get('idempotency-replayed')], [202, null]);
    await reaches(key('unlucky'), 'Completed');
    assert.deepEqual(await traces(key('unlucky')), once1);
  });

  it('shows no command of another type', async () => {
    await openAccount('carol', 0, `transfer-${key('carol')}`);
    assertProblem(await ask(`${server.url}/transfers/${key('carol')}`), 404, 'not-found');
  });

  const postgresPort = () => Number(new URL(inbox.database.url).port);

  /** Until a session of the API waits for a lock that the test holds. */
  const waitsForLock = (what: string) =>
    eventually(what, async () => {
      const sql = `select from pg_stat_activity where application_name = 'bank behind a proxy'
                   and datname = current_database() and wait_event_type = 'Lock'`;
      return (await rows(inbox.pool, sql)).length === 1;
    });

  describe('while Postgres', () => {
    let proxy: Proxy;
    let pool: Pool;
    let apart: HttpServer;

    before(async () => {
      proxy = await startProxy(postgresPort());
      const url = new URL(inbox.database.url);
      url.hostname = '127.0.0.1';
      url.port = String(proxy.port);
      pool = createPool({ connectionString: url.href, max: 4, applicationName: 'bank behind a proxy' });
      apart = await startHttpServer({ pool, log: quiet });
    });
    after(async () => {
      await apart.stop();
      await pool.end();
      await proxy.close();
    });

    it('is away, answers 503 with Retry-After, and takes the same key when it is back', async () => {
      await proxy.close();
      const refused = await post(apart, key('away'));
      assertProblem(refused, 503, 'unavailable');
      assert.ok(Number(refused.headers.get('retry-after')) > 0);
      assertProblem(await ask(`${apart.url}/transfers/${key('away')}`), 503, 'unavailable');
      assert.deepEqual(await traces(key('away')), nothing);

      proxy = await startProxy(postgresPort(), proxy.port);
      const repeated = await post(apart, key('away'));
      assert.deepEqual([repeated.status, repeated.headers.get('idempotency-replayed')], [202, null]);
      await reaches(key('away'), 'Completed');
      assert.deepEqual(await traces(key('away')), once1);
    });

    it('is lost between the two writes, keeps neither of them', async () => {
      const holder = await inbox.pool.connect();
      await holder.query('begin; lock table bank.transfer_requests in exclusive mode');
      const answer = post(apart, key('halfway'));
      await waitsForLock('it has sent, and waits to write its own row');
      proxy.cut();
      assertProblem(await answer, 503, 'unavailable');
      await holder.query('rollback');
      holder.release();
      // The session notices only when it has the lock; then its transaction has ended, one way or the other.
      await eventually('the session has ended', async () => {
        const sql = `select from pg_stat_activity where application_name = 'bank behind a proxy'
                     and datname = current_database() and xact_start is not null`;
        return (await rows(inbox.pool, sql)).length === 0;
      });
      assert.deepEqual(await traces(key('halfway')), nothing);
      assert.equal((await post(apart, key('halfway'))).headers.get('idempotency-replayed'), null);
      await reaches(key('halfway'), 'Completed');
      assert.deepEqual(await traces(key('halfway')), once1);
    });

    it('commits and its answer is lost, finds the transfer at the repeat', async () => {
      await inbox.pool.query(`
        create function bank.wait_in_commit() returns trigger language plpgsql as
          $$ begin perform pg_advisory_xact_lock(4711); return null; end $$;
        create constraint trigger wait_in_commit after insert on bank.transfer_requests
          deferrable initially deferred for each row execute function bank.wait_in_commit()`);
      const holder = await inbox.pool.connect();
      await holder.query('select pg_advisory_lock(4711)');
      const answer = post(apart, key('unheard'));
      await waitsForLock('COMMIT has been sent');
      proxy.cut();
      assertProblem(await answer, 503, 'unavailable');
      assert.deepEqual(await traces(key('unheard')), nothing, 'not yet');
      await holder.query('select pg_advisory_unlock(4711)');
      holder.release();
      await reaches(key('unheard'), 'Completed');
      const repeated = await post(apart, key('unheard'));
      assert.deepEqual([repeated.status, repeated.headers.get('idempotency-replayed')], [202, 'true']);
      assert.deepEqual(await traces(key('unheard')), once1);
    });
  });

  it('has conserved the money, and moved each transfer’s once', async () => {
    await eventually('nothing is under way', async () => {
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
    assert.deepEqual(orphans, [], 'no row without its entry, and no entry without its row');
  });
});
