/**
 * The demo itself, given a database, a Temporal client and a worker that already runs.
 *
 * @module
 */
import type { Pool } from 'pg';
import { checkConservation } from './conservation.ts';
import { feed, type Sender } from './feed.ts';
import { readOutcome } from './outcome.ts';
import { type Output, showProgress } from './progress.ts';
import { commandsFor, readPurchases, SOME_PURCHASES } from './purchases.ts';
import { replayOne } from './replay-one.ts';
import { type NextSteps, type Summary, summarise } from './summary.ts';

export interface DemoOptions extends Sender, NextSteps {
  pool: Pool;
  out: Output;
  /** All purchases of the file instead of the first 300. */
  all: boolean;
  signal?: AbortSignal;
}

/** Returns what it has told. The bank's schema must be there, and a worker with the bank's commands must be running. */
export async function runDemo(options: DemoOptions): Promise<Summary> {
  const { pool, out, all } = options;
  const purchases = await readPurchases();
  const commands = [...commandsFor(all ? purchases : purchases.slice(0, SOME_PURCHASES))];
  const messageIds = commands.map((command) => command.messageId);

  out.write(
    `Sending ${commands.length} commands: accounts, and what CDNOW's customers bought from 1997 on.\n`,
  );
  const startedAt = performance.now();
  const display = showProgress(out, commands.length);
  const fed = await feed(commands, { ...options, onProgress: display.update }).finally(display.stop);
  const seconds = (performance.now() - startedAt) / 1_000;

  out.write('\n');
  const replayed = await replayOne({
    ...options,
    messageIds,
    tell: (sentence) => out.write(`${sentence}\n`),
  });
  if (replayed) out.write('\n');

  const summary: Summary = {
    sent: fed.sent,
    duplicates: fed.duplicates,
    seconds,
    replayed,
    outcome: await readOutcome(pool, messageIds),
    conservation: await checkConservation(pool),
    next: options,
  };
  out.write(summarise(summary));
  return summary;
}
