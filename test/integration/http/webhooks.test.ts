/** Webhooks of each scheme, served from each framework. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { z } from 'zod';
import { defineContract } from '../../../src/commands/contract.ts';
import { message } from '../../../src/commands/message.ts';
import { webhookEndpoint } from '../../../src/http/index.ts';
import type { HttpHandler, WebhookMessages, WebhookVerifier } from '../../../src/http/index.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { ask, assertProblem, read, sendTruncated } from '../../support/http.ts';
import type { Answer } from '../../support/http.ts';
import { SERVERS } from '../../support/http-servers.ts';
import type { TestHttpServer } from '../../support/http-servers.ts';
import { rows } from '../../support/rows.ts';
import { eventually } from '../../support/wait.ts';
import { SCHEMES } from '../../support/webhook-schemes.ts';
import type { Delivery } from '../../support/webhook-schemes.ts';

const MAX_BODY_BYTES = 10_000;
const MINUTE_MS = 60_000;

const deposit = defineContract({
  type: 'DepositFunds',
  schema: z.object({ accountId: z.string(), amountCents: z.int().positive() }),
});
const paymentEvent = z.object({ id: z.string(), type: z.string(), data: z.unknown() });

const settled = (id: string, data: unknown = { accountId: 'ann', amountCents: 500 }) => ({
  id,
  type: 'payment.settled',
  data,
});

async function toMessage({ id, body }: { id: string; body: unknown }): Promise<WebhookMessages> {
  const { type, data } = paymentEvent.parse(body);
  const messageId = `payments/${id}`;
  if (type === 'payment.split') {
    return [
      message(deposit, { messageId: `${messageId}-1`, payload: data as never }),
      { messageId: `${messageId}-2`, type: 'NotifyCustomer', payload: { id } },
    ];
  }
  if (type === 'nothing') return [];
  return type === 'payment.settled' ? message(deposit, { messageId, payload: data as never }) : null;
}

const textOf = (event: unknown) => (typeof event === 'string' ? event : JSON.stringify(event));

for (const [framework, serve] of Object.entries(SERVERS)) {
  describe(`webhooks, served from ${framework},`, () => {
    let database: TestDatabase;
    let inbox: Inbox;
    let server: TestHttpServer;
    /** The answers of the endpoints, also those that no client gets. */
    let answers: Promise<Answer>[];
    const lines: string[] = [];

    before(async () => {
      database = await createTestDatabase();
      inbox = await createInbox({ pool: database.pool });
      const endpoint = (verify: WebhookVerifier): HttpHandler => {
        const handler = webhookEndpoint({
          inbox,
          verify,
          toMessage,
          maxBodyBytes: MAX_BODY_BYTES,
          log: createLog('debug', (line) => lines.push(line)),
        });
        return async (request) => {
          const response = await handler(request);
          answers.push(read(response.clone()));
          return response;
        };
      };
      const routes = Object.values(SCHEMES).flatMap((scheme, place) => [
        [`/hooks-${place}`, endpoint(scheme.verify(scheme.secrets[0]))] as const,
        [`/rotation-${place}`, endpoint(scheme.verify(scheme.secrets.toReversed()))] as const,
      ]);
      server = await serve(Object.fromEntries(routes));
    });
    beforeEach(() => {
      answers = [];
      lines.length = 0;
    });
    afterEach(() => database.pool.query('delete from inbox.entries'));
    after(async () => {
      await server.close();
      await inbox.close();
      await database.drop();
    });

    const stored = () =>
      rows<{ id: string; type: string; payload: unknown }>(
        database.pool,
        'select message_id as id, command_type as type, payload from inbox.entries order by message_id',
      );
    const one = [
      { id: 'payments/evt_1', type: 'DepositFunds', payload: { accountId: 'ann', amountCents: 500 } },
    ];
    async function isRefused(answer: Answer): Promise<void> {
      assertProblem(answer, 401, 'invalid-signature');
      assert.ok(answer.headers.get('www-authenticate'));
      assert.deepEqual(await stored(), []);
    }

    for (const [place, [name, scheme]] of Object.entries(SCHEMES).entries()) {
      describe(`of ${name}`, () => {
        const [secret, newSecret] = scheme.secrets;
        const path = `/hooks-${place}`;
        function headersOf(event: unknown, more: Partial<Delivery> = {}): Record<string, string> {
          const body = textOf(event);
          const { id = 'evt_1' } = (typeof event === 'object' ? event : {}) as { id?: string };
          return {
            'content-type': 'application/json; charset=utf-8',
            ...scheme.sign({ id, body, secret, at: new Date(), ...more }),
          };
        }
        const deliver = (event: unknown, more: Partial<Delivery> = {}, to = path) =>
          ask(`${server.url}${to}`, {
            method: 'POST',
            headers: headersOf(event, more),
            body: textOf(event),
          });

        it('become commands, once however often they are delivered', async () => {
          const first = await deliver(settled('evt_1'));
          assert.deepEqual([first.status, first.body], [200, { answer: 'accepted' }]);
          assert.deepEqual(await stored(), one);
          const again = await deliver(settled('evt_1'), { at: new Date(Date.now() - MINUTE_MS) });
          assert.deepEqual([again.status, again.body], [200, { answer: 'duplicate' }]);
          assert.deepEqual(await stored(), one);
        });

        it('that arrive several times at once are accepted once', async () => {
          const all = await Promise.all(Array.from({ length: 10 }, () => deliver(settled('evt_1'))));
          assert.deepEqual(
            all.map(({ status }) => status),
            all.map(() => 200),
          );
          assert.equal(all.filter(({ body }) => body['answer'] === 'accepted').length, 1);
          assert.deepEqual(await stored(), one);
        });

        it('may become several commands, or none', async () => {
          const event = { ...settled('evt_2'), type: 'payment.split' };
          // One of the two messages was stored before.
          await deliver(settled('evt_2-1'));
          assert.deepEqual((await deliver(event)).body, { answer: 'accepted' });
          assert.deepEqual(
            (await stored()).map(({ id, type }) => [id, type]),
            [
              ['payments/evt_2-1', 'DepositFunds'],
              ['payments/evt_2-2', 'NotifyCustomer'],
            ],
          );
          assert.deepEqual((await deliver(event)).body, { answer: 'duplicate' });
          for (const type of ['payment.created', 'nothing']) {
            const ignored = await deliver({ ...settled('evt_3'), type });
            assert.deepEqual([ignored.status, ignored.body], [200, { answer: 'ignored' }]);
          }
          assert.equal((await stored()).length, 2);
        });

        it('are refused if the secret is another, the body was changed or the signature is missing', async () => {
          await isRefused(await deliver(settled('evt_1'), { secret: newSecret }));
          const headers = headersOf(settled('evt_1'));
          const changed = textOf(settled('evt_1', { accountId: 'eve', amountCents: 500 }));
          await isRefused(await ask(`${server.url}${path}`, { method: 'POST', headers, body: changed }));
          const { [scheme.signatureHeader]: signature, ...unsigned } = headers;
          const body = textOf(settled('evt_1'));
          await isRefused(await ask(`${server.url}${path}`, { method: 'POST', headers: unsigned, body }));
          for (const damaged of scheme.damage(signature!)) {
            const given = { ...unsigned, [scheme.signatureHeader]: damaged };
            await isRefused(await ask(`${server.url}${path}`, { method: 'POST', headers: given, body }));
          }
          assert.equal((await ask(`${server.url}${path}`, { method: 'POST', headers, body })).status, 200);
        });

        const { withoutTime } = scheme;
        if (withoutTime) {
          it('are refused if they are too old, from the future or without a time', async () => {
            const ageMs = 6 * MINUTE_MS;
            await isRefused(await deliver(settled('evt_1'), { at: new Date(Date.now() - ageMs) }));
            await isRefused(await deliver(settled('evt_1'), { at: new Date(Date.now() + ageMs) }));
            const headers = withoutTime(headersOf(settled('evt_1')));
            const body = textOf(settled('evt_1'));
            await isRefused(await ask(`${server.url}${path}`, { method: 'POST', headers, body }));
            // Within the tolerance, in both directions.
            for (const at of [-4, 4]) {
              const answer = await deliver(settled('evt_1'), { at: new Date(Date.now() + at * MINUTE_MS) });
              assert.equal(answer.status, 200);
            }
            assert.deepEqual(await stored(), one);
          });
        }

        it('may be signed with the old or the new secret while it is replaced', async () => {
          for (const used of [secret, newSecret]) {
            const answer = await deliver(settled('evt_1'), { secret: used }, `/rotation-${place}`);
            assert.equal(answer.status, 200);
          }
          assert.deepEqual(await stored(), one);
          const stranger = scheme.secrets[0].replace(/.{4}$/, 'AAAA');
          assertProblem(
            await deliver(settled('evt_2'), { secret: stranger }, `/rotation-${place}`),
            401,
            'invalid-signature',
          );
        });

        it('are refused if the body is not JSON, or toMessage or the schema of the command refuses it', async () => {
          assertProblem(await deliver('payload=%7B%7D', { id: 'evt_1' }), 400, 'invalid-json');
          for (const [event, field] of [
            [{ id: 'evt_1', type: 5 }, 'type'],
            [settled('evt_1', { accountId: 'ann', amountCents: -1 }), 'amountCents'],
            [{ ...settled('evt_1', { accountId: 5 }), type: 'payment.split' }, 'accountId'],
          ] as const) {
            const answer = await deliver(event);
            assertProblem(answer, 400, 'invalid-payload');
            assert.equal((answer.body['errors'] as { field: string }[])[0]?.field, field);
          }
          assert.deepEqual(await stored(), []);
        });

        it('are refused with 409 if an earlier delivery became another message', async () => {
          await deliver(settled('evt_1'));
          const answer = await deliver(settled('evt_1', { accountId: 'ann', amountCents: 501 }));
          assertProblem(answer, 409, 'event-changed');
          assert.deepEqual(await stored(), one);
          assert.match(lines.join('\n'), /ERROR an event was delivered again .* messageId=payments\/evt_1$/);
        });

        it('are refused if they are too large', async () => {
          const large = { ...settled('evt_1'), more: 'x'.repeat(MAX_BODY_BYTES) };
          assertProblem(await deliver(large), 413, 'too-large');
          assert.deepEqual(await stored(), []);
        });

        it('are not stored if the provider disconnects before the end', async () => {
          const socket = await sendTruncated(
            server.port,
            path,
            headersOf(settled('evt_1')),
            textOf(settled('evt_1')),
          );
          socket.destroy();
          assertProblem(await eventually('the endpoint has answered', () => answers[0]), 400, 'incomplete');
          assert.deepEqual(await stored(), []);
        });

        it('are POSTs', async () => {
          const answer = await ask(`${server.url}${path}`);
          assertProblem(answer, 405, 'method-not-allowed');
          assert.equal(answer.headers.get('allow'), 'POST');
        });
      });
    }
  });
}
