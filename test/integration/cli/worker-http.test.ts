/** `inbox worker --http`: metrics and probes, and a worker that does its work when they cannot be served. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { startOtlpReceiver } from '../../support/otlp.ts';
import type { OtlpReceiver } from '../../support/otlp.ts';
import { startProxy } from '../../support/proxy.ts';
import type { Proxy } from '../../support/proxy.ts';
import { parseSamples, sumOf } from '../../support/samples.ts';
import { drawTrace } from '../../support/span-tree.ts';
import { CANARY, expressOrder } from '../../support/traced-commands.ts';
import { exportTo } from '../../support/traces.ts';
import { eventually } from '../../support/wait.ts';
import { startWorkerProcess } from '../../support/worker-process.ts';
import type { WorkerProcess } from '../../support/worker-process.ts';

const COMMANDS = './traced-commands.js';

interface Answer {
  status: number;
  text: string;
}

async function get(url: string, limitMs = 5_000): Promise<Answer> {
  const response = await fetch(url, { signal: AbortSignal.timeout(limitMs) });
  return { status: response.status, text: await response.text() };
}

/** The address that the worker has logged. */
const addressOf = (worker: WorkerProcess) =>
  eventually('the worker serves HTTP', () => /serving .* address=(\S+)/.exec(worker.log())?.[1]);

async function end(worker: WorkerProcess): Promise<void> {
  worker.kill('SIGTERM');
  await worker.ended;
}

describe('inbox worker --http', () => {
  let fixture: TestInbox;
  let inbox: Inbox;
  let receiver: OtlpReceiver;
  const workers: WorkerProcess[] = [];

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
    receiver = await startOtlpReceiver();
  });
  after(async () => {
    await Promise.all(workers.map((worker) => end(worker)));
    await inbox.close();
    await receiver.close();
    await fixture.close();
  });

  async function start(
    env: Record<string, string>,
    flags: string[] = [],
    target = fixture as { database: { url: string }; taskQueue: string },
    module = COMMANDS,
  ): Promise<WorkerProcess> {
    const worker = await startWorkerProcess(target, module, env, flags);
    workers.push(worker);
    return worker;
  }

  async function runs(name: string): Promise<void> {
    const messageId = fixture.id(name);
    await inbox.send(expressOrder, { messageId, payload: {} });
    await fixture.reaches(messageId, 'Completed');
  }

  describe('in one process', () => {
    let worker: WorkerProcess;
    let url: string;

    before(async () => {
      worker = await start({ ...exportTo(receiver.url), INBOX_LOG: 'json' }, ['--http', '0']);
      url = await eventually(
        'the worker serves HTTP',
        () => /"address":"(http:[^"]+)","msg":"serving/.exec(worker.log())?.[1],
      );
    });
    after(() => end(worker));

    it('serves metrics of commands, of open work and of the SDK of Temporal', async () => {
      await runs('scraped');
      const samples = await eventually('the attempt is counted', async () => {
        const { status, text } = await get(`${url}/metrics`);
        assert.equal(status, 200);
        const all = parseSamples(text);
        return (
          sumOf(all, 'inbox_attempts_total', { type: 'ExpressOrder', outcome: 'completed' }) === 1 && all
        );
      });
      assert.equal(sumOf(samples, 'inbox_oldest_age', { status: 'DeadLetter' }), 0);
      assert.ok(samples.some(({ name }) => name.startsWith('temporal_')));
      assert.ok(!JSON.stringify(samples).includes(CANARY));
    });

    it('exports traces and metrics as the environment says', async () => {
      await runs('exported');
      const messageId = fixture.id('exported');
      const process = await eventually('the attempt is exported', () =>
        receiver.spans.find(
          ({ name, attributes }) =>
            name === 'process ExpressOrder' && attributes['messaging.message.id'] === messageId,
        ),
      );
      assert.equal(process.service, 'temporal-inbox');
      assert.ok(!JSON.stringify(process.resource).includes('traced-commands'), 'no arguments of the process');
      assert.ok(drawTrace(receiver.spans, process.traceId).length > 3);
      await eventually('metrics are exported', () => receiver.metricNames.has('inbox.attempts'));
    });

    it('writes lines of JSON with one shape', () => {
      const lines = worker.log().trim().split('\n');
      for (const line of lines) {
        const fields = JSON.parse(line) as Record<string, unknown>;
        assert.deepEqual(
          [typeof fields['level'], typeof fields['time'], typeof fields['msg']],
          ['string', 'string', 'string'],
          line,
        );
        assert.ok(!('pid' in fields) && !('hostname' in fields), line);
      }
    });

    it('is alive and ready', async () => {
      assert.deepEqual(await get(`${url}/livez`), { status: 200, text: '{"status":"ok"}\n' });
      const { status, text } = await get(`${url}/readyz`);
      assert.equal(status, 200, text);
      assert.deepEqual(JSON.parse(text), {
        status: 'ok',
        checks: ['postgres', 'temporal', 'polling'].map((name) => ({ name, ok: true })),
      });
    });

    it('answers other paths and methods with an error', async () => {
      assert.equal((await get(`${url}/`)).status, 404);
      const { status, headers } = await fetch(`${url}/metrics`, { method: 'POST' });
      assert.deepEqual([status, headers.get('allow')], [405, 'GET, HEAD']);
    });
  });

  it('is not ready while Postgres or Temporal cannot be reached, and is alive', async () => {
    const postgres = new URL(fixture.database.url);
    const temporal = new URL(`tcp://${process.env['TEMPORAL_ADDRESS']!}`);
    const proxies: Record<'postgres' | 'temporal', Proxy> = {
      postgres: await startProxy(Number(postgres.port)),
      temporal: await startProxy(Number(temporal.port)),
    };
    postgres.port = String(proxies.postgres.port);
    const worker = await start(
      { TEMPORAL_ADDRESS: `127.0.0.1:${proxies.temporal.port}` },
      ['--http', '127.0.0.1:0'],
      { database: { url: postgres.href }, taskQueue: `${fixture.taskQueue}-probes` },
    );
    const url = await addressOf(worker);
    const failing = async () => {
      const { status, text } = await get(`${url}/readyz`, 10_000);
      const { checks } = JSON.parse(text) as { checks: { name: string; ok: boolean; problem?: string }[] };
      return { status, names: checks.filter(({ ok }) => !ok).map(({ name }) => name), text };
    };
    const until = (names: string[]) =>
      eventually(`the failing checks are: ${names.join(', ')}`, async () => {
        const found = await failing();
        assert.deepEqual(found.names, names, found.text);
        assert.equal(found.status, names.length === 0 ? 200 : 503);
        return found;
      });
    try {
      await until([]);
      for (const name of ['postgres', 'temporal'] as const) {
        const { port } = proxies[name];
        await proxies[name].close();
        const { text } = await until([name]);
        assert.match(text, /"problem":"[^"]+"/);
        assert.equal((await get(`${url}/livez`)).status, 200);
        proxies[name] = await startProxy(
          Number(name === 'postgres' ? new URL(fixture.database.url).port : temporal.port),
          port,
        );
        await until([]);
      }
    } finally {
      await end(worker);
      await Promise.all(Object.values(proxies).map((proxy) => proxy.close()));
    }
  });

  it('does not answer /livez while a handler blocks the event loop', async () => {
    const taskQueue = `${fixture.taskQueue}-blocked`;
    const worker = await start(
      {},
      ['--http', '0'],
      { database: fixture.database, taskQueue },
      './blocking-commands.js',
    );
    const url = await addressOf(worker);
    assert.equal((await get(`${url}/livez`)).status, 200);
    await fixture.pool.query(
      `select inbox.send(message_id => $1, command_type => 'BlockEventLoop', payload => '{}')`,
      [fixture.id('blocks')],
    );
    await eventually('the probe gets no answer', () =>
      get(`${url}/livez`, 1_000).then(
        () => false,
        ({ name }: Error) => name === 'TimeoutError',
      ),
    );
    worker.kill('SIGKILL');
    await worker.ended;
  });

  it('handles commands while its port is in use, and serves HTTP once it is free', async () => {
    const occupant = createServer().listen(0, '127.0.0.1');
    await eventually('the port is in use', () => occupant.listening);
    const { port } = occupant.address() as AddressInfo;
    const worker = await start({}, ['--http', String(port)]);
    await runs('port-in-use');
    assert.equal(worker.log().match(/metrics and probes cannot be served/g)?.length, 1, worker.log());
    assert.match(worker.log(), new RegExp(`EADDRINUSE`));
    await new Promise((resolve) => occupant.close(resolve));
    await addressOf(worker);
    await end(worker);
  });

  for (const [name, behavior] of [
    ['refuses', 'refuse'],
    ['hangs', 'hang'],
  ] as const) {
    it(`handles commands while the receiver ${name}, and ends in time`, async () => {
      const broken = await startOtlpReceiver();
      broken.behave(behavior);
      const worker = await start({ ...exportTo(broken.url), OTEL_EXPORTER_OTLP_TIMEOUT: '500' });
      await runs(`receiver-${name}`);
      await eventually('the receiver was asked', () => broken.requests() > 0);
      await eventually('the problem is logged', () =>
        worker.log().includes('OpenTelemetry reports a problem'),
      );
      await runs(`receiver-${name}-again`);
      await end(worker);
      assert.match(worker.log(), /worker stopped/);
      await broken.close();
    });
  }

  it('handles commands with an OTLP address that leads nowhere', async () => {
    const worker = await start({ ...exportTo('http://127.0.0.1:1') });
    await runs('nowhere');
    await eventually('the problem is logged', () => worker.log().includes('OpenTelemetry reports a problem'));
    const lines = worker
      .log()
      .split('\n')
      .filter((line) => line.includes('OpenTelemetry reports a problem'));
    assert.ok(lines.length <= 3, `one line for each kind of problem: ${lines.join('\n')}`);
    await end(worker);
  });

  it('refuses an address that is none', async () => {
    await assert.rejects(start({ INBOX_HTTP: '70000' }), /INBOX_HTTP \(\\?"70000\\?"\) must be a port/);
    await assert.rejects(start({ INBOX_LOG: 'xml' }), /INBOX_LOG \(\\?"xml\\?"\) is none of text, json/);
  });
});
