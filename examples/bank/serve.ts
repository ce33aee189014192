/**
 * `node dist/examples/bank/serve.js`: the HTTP API on DATABASE_URL, on PORT or a free one, until SIGTERM or Ctrl-C.
 *
 * @module
 */
import { once } from 'node:events';
import { readDatabaseUrl } from '../../src/platform/postgres-url.ts';
import { createPool } from '../../src/platform/postgres.ts';
import { createLog } from '../../src/platform/log.ts';
import { startHttpServer } from './http-server.ts';
import { createBankSchema } from './schema.ts';

/** Ends a wait for a lock or a network that went silent, so that the client gets its 503. */
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
      // Of a process that vanished in the middle: its locks are let go.
      idle_in_transaction_session_timeout: '10000',
    },
    queryTimeoutMs: STATEMENT_TIMEOUT_MS + 1_000,
  });
  try {
    await createBankSchema(pool);
    const server = await startHttpServer({ pool, log, port });
    const told = new AbortController();
    process.once('SIGTERM', () => told.abort()).once('SIGINT', () => told.abort());
    log.info('listening', { url: server.url });
    await once(told.signal, 'abort');
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
  throw new Error(`PORT (${JSON.stringify(text)}) is no port; leave it out for a free one`);
}
