/**
 * A separate PgBouncer for a test, in front of the test's Postgres.
 *
 * @module
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { hasEnded } from './child-process.ts';
import { findExecutable, reasonToSkip } from './find-executable.ts';
import { eventually } from './wait.ts';

export type PoolMode = 'session' | 'transaction';

export interface PgBouncerOptions {
  poolMode: PoolMode;
  /** Additional settings in the section `[pgbouncer]` of its configuration. */
  settings?: Record<string, string | number>;
  /** Passwords of further logins, by user name. The login in the URL is always included. */
  users?: Record<string, string>;
}

export interface PgBouncer {
  port: number;
  /** The same database, through this PgBouncer. */
  url: string;
  /** Changes any URL of the same server to go through this PgBouncer. */
  through(url: string): string;
  log(): Promise<string>;
  /** SIGSTOP suspends PgBouncer, SIGCONT resumes it, SIGKILL ends it until `restart`. */
  kill(signal: NodeJS.Signals): void;
  /** Restarts it on the same port; resolves when it accepts connections. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** `PGBOUNCER_PATH` selects another version to test with. */
const binary = findExecutable('pgbouncer', process.env['PGBOUNCER_PATH']);

/** The reason to skip tests that need PgBouncer. */
export const withoutPgBouncer = reasonToSkip(binary, 'PgBouncer', 'pgbouncer');

/** The user and group that PgBouncer runs as, since it refuses to run as root. */
const NOBODY = 65_534;

export async function startPgBouncer(
  databaseUrl: string,
  { poolMode, settings = {}, users = {} }: PgBouncerOptions,
): Promise<PgBouncer> {
  if (binary === null) throw new Error('PgBouncer is not installed: apt-get install -y pgbouncer');
  const target = new URL(databaseUrl);
  const folder = await mkdtemp(join(tmpdir(), 'inbox-pgbouncer-'));
  const logins = { [decodeURIComponent(target.username)]: decodeURIComponent(target.password), ...users };
  const port = await freePort();
  const own = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'plain',
    auth_file: join(folder, 'users.txt'),
    pool_mode: poolMode,
    max_client_conn: 1_000,
    logfile: join(folder, 'log'),
    ...settings,
  };
  const files = {
    'users.txt': Object.entries(logins)
      .map(([name, password]) => `"${name}" "${password.replaceAll('"', '""')}"\n`)
      .join(''),
    'pgbouncer.ini':
      `[databases]\n* = host=${target.hostname} port=${target.port || 5432}\n[pgbouncer]\n` +
      Object.entries(own)
        .map(([name, value]) => `${name} = ${value}\n`)
        .join(''),
  };
  const asRoot = process.getuid?.() === 0;
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, name), content, { mode: 0o600 });
    if (asRoot) await chown(join(folder, name), NOBODY, NOBODY);
  }
  await chmod(folder, 0o700);
  if (asRoot) await chown(folder, NOBODY, NOBODY);
  const launch = () =>
    spawn(binary, ['-q', join(folder, 'pgbouncer.ini')], {
      stdio: 'ignore',
      cwd: '/',
      ...(asRoot && { uid: NOBODY, gid: NOBODY }),
    });
  let child = launch();
  let ended = once(child, 'exit');
  const log = () => readFile(join(folder, 'log'), 'utf8').catch(() => '');
  const through = (url: string) => {
    const pooled = new URL(url);
    pooled.hostname = '127.0.0.1';
    pooled.port = String(port);
    return pooled.href;
  };
  const waitUntilReady = () =>
    eventually('PgBouncer accepts connections', async () => {
      if (hasEnded(child)) throw new Error(`PgBouncer exited: ${await log()}`);
      const client = new Client({ connectionString: through(databaseUrl) });
      client.on('error', () => {});
      await client.connect();
      await client.end();
      return true;
    });
  await waitUntilReady();
  return {
    port,
    url: through(databaseUrl),
    through,
    log,
    kill: (signal) => void child.kill(signal),
    async restart() {
      if (!hasEnded(child)) child.kill('SIGKILL');
      await ended;
      child = launch();
      ended = once(child, 'exit');
      await waitUntilReady();
    },
    async stop() {
      if (!hasEnded(child)) child.kill('SIGKILL');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
