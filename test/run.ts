/**
 * `npm test` runs all test files, against servers that it starts or those that DATABASE_URL and TEMPORAL_ADDRESS name.
 * Arguments select files by a part of their path: `npm test -- dead-letters`.
 *
 * @module
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startServers } from '../src/dev/servers.ts';
import { findNatsServer } from './support/nats-binary.ts';
import { planTestProcesses } from './support/test-processes.ts';

/** The limit for one process. None takes nearly as long; one that hangs must not delay the results of the others. */
const TEST_TIMEOUT_MS = 480_000;
/** Concurrent processes. More than the cores, because many tests wait for timeouts or for a killed process to recover. */
const CONCURRENCY = 5;

const root = fileURLToPath(new URL('.', import.meta.url));
const wanted = process.argv.slice(2);
const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.js'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort()
  .map((file) => join(root, file));

if (files.length === 0) {
  console.error(`no test file has a path that contains ${wanted.join(' or ')}`);
  process.exitCode = 1;
} else {
  process.exitCode = await runTests();
}

async function runTests(): Promise<number> {
  if (files.some((file) => file.includes('outbox'))) {
    // Building nats-server takes longer than a test may take. If it cannot be built, the tests that need it say so.
    await findNatsServer({ log: (line) => console.error(line) }).catch(() => {});
  }
  // Temporal uses about a fifth of all CPU time. It is written in Go, and this setting makes it collect garbage less often.
  process.env['GOGC'] ??= '400';
  const servers = await startServers({
    // The workers and senders of all processes together need more than the 300 connections of a development server.
    postgresSettings: { max_connections: '1000' },
    log: (line) => console.error(line),
  });
  const { modules, folder } = planTestProcesses(files);
  try {
    const args = [
      '--test',
      '--test-reporter=spec',
      `--test-concurrency=${CONCURRENCY}`,
      `--test-timeout=${TEST_TIMEOUT_MS}`,
      ...modules,
    ];
    const tests = spawn(process.execPath, args, {
      stdio: 'inherit',
      env: {
        ...process.env,
        DATABASE_URL: servers.databaseUrl,
        TEMPORAL_ADDRESS: servers.temporalAddress,
        // A process that lives for seconds spends a tenth of its time on collecting young objects; more memory for them
        // helps.
        NODE_OPTIONS: `--max-semi-space-size=32 ${process.env['NODE_OPTIONS'] ?? ''}`.trim(),
        // Tests compare messages, so names and numbers in them must not be colored.
        NO_COLOR: '1',
      },
    });
    const forward = (signal: NodeJS.Signals) => void tests.kill(signal);
    process.on('SIGINT', forward).on('SIGTERM', forward);
    const [code] = (await once(tests, 'exit')) as [number | null];
    return code ?? 1;
  } finally {
    rmSync(folder, { recursive: true });
    await servers.stop();
  }
}
