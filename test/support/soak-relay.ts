/**
 * An outbox relay as a process of its own, to a simulated broker that takes every event at once and counts them by type.
 * At its end it says how many.
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
  /** Stops it; what the broker got. */
  stop(): Promise<Record<string, number>>;
}

export function startSoakRelay(databaseUrl: string, env: Record<string, string>): SoakRelay {
  const child = spawn(process.execPath, [PATH], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // Not as an argument: those are for everybody to see.
    env: { ...process.env, ...env, DATABASE_URL: databaseUrl },
  });
  const said = text(child.stdout);
  return {
    pid: child.pid!,
    ended: once(child, 'exit'),
    kill: () => void child.kill('SIGKILL'),
    async stop() {
      child.kill('SIGTERM');
      return JSON.parse(await said) as Record<string, number>;
    },
  };
}

async function main(): Promise<void> {
  const taken: Record<string, number> = {};
  const relay = createOutboxRelay({
    databaseUrl: process.env['DATABASE_URL']!,
    async publish(events) {
      for (const { type } of events) taken[type] = (taken[type] ?? 0) + 1;
    },
  });
  process.once('SIGTERM', () => relay.stop());
  await relay.run();
  process.stdout.write(JSON.stringify(taken));
}

if (process.argv[1] === PATH) await main();
