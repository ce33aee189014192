import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { afterEach, describe, it } from 'node:test';
import { FraudCheckUnavailable, TransferDeclined } from '../../../examples/bank/errors.ts';
import { checkForFraud, parseRetryAfter } from '../../../examples/bank/fraud-check.ts';
import { isRejectedFirst, startFraudService } from '../../../examples/bank/fraud-service.ts';
import type { CommandLog } from '../../../src/core/command-log.ts';
import { RetryAfterError } from '../../../src/core/errors.ts';

function ids(wanted: boolean): string[] {
  return Array.from({ length: 1_200 }, (_, index) => `transfer-${index}`).filter(
    (id) => isRejectedFirst(id) === wanted,
  );
}

describe('fraud checking', () => {
  const log: CommandLog = { debug() {}, info() {}, warn() {}, error() {} };
  const stops: (() => Promise<unknown>)[] = [];

  afterEach(async () => {
    delete process.env['FRAUD_CHECK_URL'];
    for (const stop of stops.splice(0)) await stop();
  });

  function check(transferId: string, signal = new AbortController().signal): Promise<void> {
    return checkForFraud({ transferId, from: 'a', to: 'b', amountCents: 1 }, { signal, log });
  }

  async function startService(): Promise<string> {
    const service = await startFraudService();
    stops.push(() => service.stop());
    process.env['FRAUD_CHECK_URL'] = service.url;
    return service.url;
  }

  /** Starts a server that gives the same answer to every request, or never answers if there is no body. */
  async function startAnswering(status: number, body?: string): Promise<Server> {
    const server = createServer((_request, response) => {
      if (body !== undefined) response.writeHead(status).end(body);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    stops.push(async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    });
    const address = server.address();
    assert.ok(address && typeof address === 'object');
    process.env['FRAUD_CHECK_URL'] = `http://127.0.0.1:${address.port}/`;
    return server;
  }

  void describe('the fraud service', () => {
    void it('rejects about one transfer in twelve', () => {
      const share = ids(true).length / 1_200;
      assert.ok(share > 1 / 18 && share < 1 / 8, `share of rejected transfers: ${share}`);
    });

    void it('rejects a transfer only once, with a Retry-After header', async () => {
      await startService();
      const [id = ''] = ids(true);
      await assert.rejects(check(id), (error) => error instanceof RetryAfterError && error.delay === 1_000);
      await check(id);
      await check(id);
    });

    void it('approves all other transfers immediately', async () => {
      await startService();
      await Promise.all(
        ids(false)
          .slice(0, 20)
          .map((id) => check(id)),
      );
    });

    void it('answers invalid requests with 400 and unknown paths with 404', async () => {
      const url = await startService();
      const post = (body: string, to = url): Promise<Response> => fetch(to, { method: 'POST', body });
      assert.equal((await post('{')).status, 400);
      assert.equal((await post('{"transferId":7}')).status, 400);
      assert.equal((await post(JSON.stringify({ transferId: 'x'.repeat(20_000) }))).status, 400);
      assert.equal((await post('{}', url.replace('checks', 'other'))).status, 404);
      assert.equal((await fetch(url)).status, 404);
    });
  });

  void describe('the fraud check', () => {
    void it('is skipped when FRAUD_CHECK_URL is not set', async () => {
      await check('any');
    });

    void it('fails with TransferDeclined when the service declines', async () => {
      await startAnswering(200, '{"decision":"decline"}');
      await assert.rejects(
        check('t'),
        (error) => error instanceof TransferDeclined && error.transferId === 't',
      );
    });

    for (const [what, status, body] of [
      ['answers 500 without Retry-After', 500, 'oops'],
      ['answers with an unknown decision', 200, '{"decision":"perhaps"}'],
      ['answers with something other than JSON', 200, '<html>'],
    ] as const) {
      void it(`fails with a transient error when the service ${what}`, async () => {
        await startAnswering(status, body);
        await assert.rejects(check('t'), FraudCheckUnavailable);
      });
    }

    void it('fails with a transient error when the service is not running', async () => {
      await startAnswering(200, '{}');
      for (const stop of stops.splice(0)) await stop();
      await assert.rejects(check('t'), FraudCheckUnavailable);
    });

    void it('is aborted together with the attempt', async () => {
      const server = await startAnswering(200);
      const attempt = new AbortController();
      const checked = check('t', attempt.signal);
      const aborted = once(server, 'request').then(() => attempt.abort(new Error('attempt was aborted')));
      await assert.rejects(checked, /attempt was aborted/);
      await aborted;
    });
  });

  void describe('Retry-After', () => {
    const now = Date.parse('2026-01-02T03:04:00Z');

    void it('is parsed as seconds or a date', () => {
      assert.equal(parseRetryAfter('2', now), 2_000);
      assert.equal(parseRetryAfter('0', now), 0);
      assert.equal(parseRetryAfter('Fri, 02 Jan 2026 03:04:05 GMT', now), 5_000);
      assert.equal(parseRetryAfter('Fri, 02 Jan 2026 03:03:00 GMT', now), 0);
    });

    void it('is ignored when it is missing or invalid', () => {
      assert.equal(parseRetryAfter(null, now), null);
      assert.equal(parseRetryAfter('soon', now), null);
      assert.equal(parseRetryAfter('', now), null);
    });
  });
});
