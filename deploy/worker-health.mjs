/**
 * The health check of the worker's container, which has no curl. Exits with 0 if the worker answers /readyz that it is ready:
 * it reaches Postgres and Temporal, and polls. Prints what is missing.
 *
 * @module
 */
const LIMIT_MS = 10_000;
const port = /\d+$/.exec(process.env['INBOX_HTTP'] ?? '')?.[0];

try {
  if (port === undefined) throw new Error('INBOX_HTTP is not set, so the worker serves no probes');
  const response = await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(LIMIT_MS) });
  process.stdout.write(await response.text());
  process.exitCode = response.ok ? 0 : 1;
} catch (error) {
  process.stdout.write(`${error.cause?.code ?? error.message}\n`);
  process.exitCode = 1;
}
