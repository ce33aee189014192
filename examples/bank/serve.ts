/**
 * `node dist/examples/bank/serve.js`: runs the HTTP API until SIGTERM or Ctrl-C. It uses the database of DATABASE_URL and
 * listens on PORT, or on a free port if PORT is not set. With PAYMENT_WEBHOOK_SECRET, it takes the webhooks of a payment
 * provider.
 *
 * @module
 */
import { once } from 'node:events';
import { startHttpServer } from './http-server.ts';
import { log } from './log.ts';
import { createBankPool } from './postgres.ts';
import { createBankSchema } from './schema.ts';

await serve().catch((error: unknown) => {
  log.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});

async function serve(): Promise<void> {
  const port = readPort(process.env['PORT']);
  const pool = createBankPool('bank http api', 10);
  try {
    await createBankSchema(pool);
    const server = await startHttpServer({ pool, log, port, paymentSecrets: readPaymentSecrets() });
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

/** One secret, or several separated by spaces while a secret is replaced. */
function readPaymentSecrets(): string[] | undefined {
  const secrets = (process.env['PAYMENT_WEBHOOK_SECRET'] ?? '')
    .split(/\s+/)
    .filter((secret) => secret !== '');
  return secrets.length > 0 ? secrets : undefined;
}
