/**
 * An outbox relay in a separate process. Its simulated broker accepts every event immediately and counts events by type. The
 * process prints the counts when it ends.
 *
 * @module
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { createOutboxRelay } from '../../src/outbox/relay.ts';

const PATH = fileURLToPath(import.meta.url);

export interface SoakRelay {
  pid: number;
  ended: Promise<unknown>;
  kill(): void;
  /** Stops the relay and returns the number of events that the broker got, by type. */
  stop(): Promise<Record<string, number>>;
}

export function startSoakRelay(databaseUrl: string, env: Record<string, string>): SoakRelay {
  const child = spawn(process.execPath, [PATH], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // Not as an argument, because other users of the machine can see arguments.
    env: { ...process.env, ...env, DATABASE_URL: databaseUrl },
  });
  const output = text(child.stdout);
  return {
    pid: child.pid!,
    ended: once(child, 'exit'),
    kill: () => void child.kill('SIGKILL'),
    async stop() {
      child.kill('SIGTERM');
      return JSON.parse(await output) as Record<string, number>;
    },
  };
}

async function main(): Promise<void> {
  const counts: Record<string, number> = {};
  const relay = createOutboxRelay({
    databaseUrl: process.env['DATABASE_URL']!,
    async publish(events) {
      for (const { type } of events) counts[type] = (counts[type] ?? 0) + 1;
    },
  });
  process.once('SIGTERM', () => relay.stop());
  await relay.run();
  process.stdout.write(JSON.stringify(counts));
}

if (process.argv[1] === PATH) await main();
