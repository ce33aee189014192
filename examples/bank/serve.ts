/**
 * `node dist/examples/bank/serve.js`: runs the HTTP API until SIGTERM or Ctrl-C. It uses the database of DATABASE_URL and
 * listens on PORT, or on a free port if PORT is not set.
 *
 * @module
 */
import { once } from 'node:events';
import { readDatabaseUrl } from '../../src/platform/postgres-url.ts';
import { createPool } from '../../src/platform/postgres.ts';
import { createLog } from '../../src/platform/log.ts';
import { startHttpServer } from './http-server.ts';
import { createBankSchema } from './schema.ts';

/** Ends a statement that waits for a lock or for a dead network connection, so that the client gets a 503. */
const STATEMENT_TIMEOUT_MS = 5_000;

const log = createLog();

await serve().catch((error: unknown) => {
  log.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});

async function serve(): Promise<void> {
  const port = readPort(process.env['PORT']);
  const pool = createPool({
    connectionString: readDatabaseUrl(),
    max: 10,
    applicationName: 'bank http api',
    settings: {
      statement_timeout: String(STATEMENT_TIMEOUT_MS),
      // If a process disappears in the middle of a transaction, Postgres releases its locks after this time.
      idle_in_transaction_session_timeout: '10000',
    },
    queryTimeoutMs: STATEMENT_TIMEOUT_MS + 1_000,
  });
  try {
    await createBankSchema(pool);
    const server = await startHttpServer({ pool, log, port });
    const shutdown = new AbortController();
    process.once('SIGTERM', () => shutdown.abort()).once('SIGINT', () => shutdown.abort());
    log.info('listening', { url: server.url });
    await once(shutdown.signal, 'abort');
    await server.stop();
    log.info('stopped');
  } finally {
    await pool.end();
  }
}

function readPort(text: string | undefined): number {
  if (text === undefined || text === '') return 0;
  const port = Number(text);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new Error(`PORT (${JSON.stringify(text)}) is not a valid port; leave it unset to use a free port`);
}
