/**
 * An outbox relay to NATS in a separate process, so that tests can kill it: `node relay-process.js <database> <nats>`. With
 * DIE=published the process kills itself after JetStream has acknowledged a batch and before the relay marks its events in
 * Postgres. With FREEZE=published it suspends itself there, once.
 *
 * @module
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createOutboxRelay } from '../../src/outbox/relay.ts';
import { natsPublisher } from '../../src/outbox/publishers/nats.ts';

const PATH = fileURLToPath(import.meta.url);

export interface RelayProcess {
  kill(signal: NodeJS.Signals): void;
  ended: Promise<void>;
  log(): string;
}

export function startRelayProcess(
  databaseUrl: string,
  natsUrl: string,
  env: Record<string, string> = {},
): RelayProcess {
  const child = spawn(process.execPath, [PATH, databaseUrl, natsUrl], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const ended = once(child, 'exit').then(() => undefined);
  return { kill: (signal) => void child.kill(signal), ended, log: () => log };
}

async function main(databaseUrl: string, servers: string): Promise<void> {
  const { publish } = await natsPublisher({ servers });
  const relay = createOutboxRelay({
    databaseUrl,
    batchSize: 20,
    maximumBackoff: '500ms',
    lease: '3s',
    async publish(events, signal) {
      await publish(events, signal);
      if (process.env['DIE'] === 'published') {
        process.kill(process.pid, 'SIGKILL');
        await new Promise(() => {});
      }
      if (process.env['FREEZE'] === 'published') {
        delete process.env['FREEZE'];
        process.kill(process.pid, 'SIGSTOP');
      }
    },
  });
  await relay.run();
}

if (process.argv[1] === PATH) await main(process.argv[2]!, process.argv[3]!);
