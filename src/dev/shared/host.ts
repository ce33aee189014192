/**
 * A process that runs the embedded servers for several test processes. Each of them holds a connection to this process, which
 * the operating system closes even if the test process is killed. When the last one is gone, the servers are stopped.
 *
 * @module
 */
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { createPool } from '../../platform/postgres.ts';
import { maskSecrets } from '../../platform/secrets.ts';
import { migrate } from '../../store/migrate.ts';
import { startServers } from '../servers.ts';
import type { Servers } from '../servers.ts';
import { encode, GOODBYE } from './messages.ts';
import type { HostMessage, SharedServers } from './messages.ts';

/** How long the servers wait for the next test process after the last one has said goodbye, in ms. */
const LINGER_MS = 10_000;
/** How long to wait for the process that started this one, in ms. */
const FIRST_CLIENT_MS = 30_000;

/** The data is temporary, so it need not survive a power failure. */
const POSTGRES_SETTINGS = {
  fsync: 'off',
  full_page_writes: 'off',
  // Each worker has up to 100 connections, and test runners start a process for each core.
  max_connections: '1000',
};

const clients = new Set<Socket>();
/** What a new client is told: the progress so far, and the outcome. */
const told: HostMessage[] = [];

function tell(message: HostMessage): void {
  told.push(message);
  for (const client of clients) client.write(encode(message));
}

const progress = (line: string) => tell({ kind: 'progress', line: maskSecrets(line) });

const starting = startServers({ postgresSettings: POSTGRES_SETTINGS, log: progress });
const started = starting.then(prepareDatabase).then(
  (servers) => tell({ kind: 'ready', servers }),
  (error: unknown) => {
    tell({ kind: 'failed', message: maskSecrets(error instanceof Error ? error.message : String(error)) });
    for (const client of clients) client.end();
    return end();
  },
);

async function prepareDatabase({ postgres, temporal }: Servers): Promise<SharedServers> {
  if (postgres) {
    const pool = createPool({ connectionString: postgres.url, max: 1, applicationName: 'inbox testing' });
    try {
      await migrate(pool);
    } finally {
      await pool.end();
    }
  }
  return { databaseUrl: postgres?.url ?? null, temporalAddress: temporal?.address ?? null };
}

let timer = setTimeout(() => void end(), FIRST_CLIENT_MS);

const server = createServer((client) => {
  clearTimeout(timer);
  clients.add(client);
  let isOrderly = false;
  client.setEncoding('utf8');
  client.on('data', (text: string) => (isOrderly ||= text.includes(GOODBYE)));
  client.on('error', () => {});
  client.on('close', () => {
    clients.delete(client);
    if (clients.size > 0) return;
    clearTimeout(timer);
    timer = setTimeout(() => void end(), isOrderly ? LINGER_MS : 0);
  });
  for (const message of told) client.write(encode(message));
});

let ending: Promise<void> | undefined;
function end(): Promise<void> {
  return (ending ??= stop());
}

async function stop(): Promise<void> {
  clearTimeout(timer);
  // From now on, a test process that finds no host starts another one.
  server.close();
  const [servers] = await Promise.allSettled([starting]);
  for (const client of clients) client.end();
  if (servers.status === 'fulfilled') await servers.value.stop();
  process.exit();
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void end());

server.on('error', (error) => {
  process.stderr.write(`${error.message}\n`);
  void end();
});
server.listen(process.argv[2]!, () => process.send?.('listening'));
await started;
