/**
 * Restate: a separate server that calls the handler in this process. A call with an idempotency key is accepted once
 * while its result is kept, which is one day.
 *
 * The server learns that a call has finished only after its transaction, so the transaction itself marks the command as
 * handled.
 *
 * Tuned as in https://docs.restate.dev/references/server-config: one partition. Each call gets a single response (not
 * `bidirectional`), because the handler does not call the server in between. All data is written to disk, which is the
 * default.
 *
 * @module
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, connect as connectHttp2 } from 'node:http2';
import { createRequire } from 'node:module';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createEndpointHandler, service } from '@restatedev/restate-sdk';
import type { Context } from '@restatedev/restate-sdk';
import type { Job, RunningSystem, SystemContext, System } from '../system.ts';
import { applyOnce, connect } from './job.ts';

const HOST = '127.0.0.1';
const SERVICE = 'accounts';
const START_MS = 30_000;

async function listen(server: Server): Promise<number> {
  server.listen(0, HOST);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Returns ports that were free when this function checked them. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createTcpServer());
  const ports = await Promise.all(servers.map(listen));
  for (const server of servers) server.close();
  return ports;
}

/** Returns the path of the server binary. npm's start script would remain as an additional process. */
function findServer(): string {
  const { resolve } = createRequire(import.meta.resolve('@restatedev/restate-server/package.json'));
  return resolve(`@restatedev/restate-server-${process.platform}-${process.arch}/bin/restate-server`);
}

async function startServer(folder: string) {
  const [ingress, admin, fabric] = (await freePorts(3)) as [number, number, number];
  const child = spawn(findServer(), ['--no-logo'], {
    cwd: folder,
    stdio: 'ignore',
    env: {
      RESTATE_BASE_DIR: folder,
      RESTATE_NODE_NAME: 'bench',
      RESTATE_LISTEN_MODE: 'tcp',
      RESTATE_BIND_IP: HOST,
      RESTATE_BIND_PORT: String(fabric),
      RESTATE_INGRESS__BIND_PORT: String(ingress),
      RESTATE_ADMIN__BIND_PORT: String(admin),
      RESTATE_DEFAULT_NUM_PARTITIONS: '1',
      RESTATE_DISABLE_TELEMETRY: 'true',
      RESTATE_LOG_FILTER: 'error',
    },
  });
  const end = () => child.kill('SIGKILL');
  process.once('exit', end);
  const ended = once(child, 'exit');
  await waitForAnswer(`http://${HOST}:${admin}/health`);
  await waitForAnswer(`http://${HOST}:${ingress}/restate/health`);
  return {
    pid: child.pid!,
    ingress: `http://${HOST}:${ingress}`,
    admin: `http://${HOST}:${admin}`,
    async stop() {
      child.kill('SIGKILL');
      await ended;
      process.off('exit', end);
    },
  };
}

async function waitForAnswer(url: string): Promise<void> {
  for (const deadline = performance.now() + START_MS; ; await sleep(50)) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok) return;
    if (performance.now() > deadline) throw new Error(`${url} did not answer within ${START_MS / 1_000} s`);
  }
}

async function ask<T>(url: string, body: object): Promise<T> {
  const headers = { 'content-type': 'application/json', accept: 'application/json' };
  const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as T;
}

async function open({ databaseUrl, folder, inFlight, done }: SystemContext): Promise<RunningSystem> {
  const pool = connect(databaseUrl, inFlight);
  const started = Promise.withResolvers<void>();
  const accounts = service({
    name: SERVICE,
    handlers: {
      // Calls before `work` must wait here, because the server calls the handler as soon as the service is registered.
      add: async (_context: Context, job: Job) => {
        await started.promise;
        await applyOnce(pool, job);
        done(job.id);
      },
    },
  });
  // The default logger would write two lines per call.
  const logger = () => {};
  const endpoint = createServer(
    createEndpointHandler({ services: [accounts], logger, bidirectional: false }),
  );
  const port = await listen(endpoint);
  const server = await startServer(folder);
  await ask(`${server.admin}/deployments`, { uri: `http://${HOST}:${port}` });
  const ingress = connectHttp2(server.ingress);

  async function post(path: string, key: string, body: string): Promise<void> {
    const request = ingress.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/json',
      'idempotency-key': key,
    });
    request.setEncoding('utf8');
    let status = 0;
    let answer = '';
    request.on('response', (headers) => (status = Number(headers[':status'])));
    request.on('data', (chunk: string) => (answer += chunk));
    request.end(body);
    await once(request, 'end');
    if (status < 200 || status > 299) throw new Error(`Restate answered ${status}: ${answer}`);
  }

  return {
    servers: [server.pid],
    send: (job) => post(`/${SERVICE}/add/send`, job.id, JSON.stringify(job)),
    async work() {
      started.resolve();
    },
    async countDone() {
      const query = `select count(*) as done from sys_invocation where target_service_name = '${SERVICE}' and status = 'completed' and completion_result = 'success'`;
      const { rows } = await ask<{ rows: { done: number }[] }>(`${server.admin}/query`, { query });
      return rows[0]!.done;
    },
    async stop() {
      ingress.close();
      await server.stop();
      endpoint.close();
      await pool.end();
    },
  };
}

export const system: System = { open };
