/**
 * The demo itself. It needs a database, a Temporal client and a running worker.
 *
 * @module
 */
import type { Pool } from 'pg';
import { checkConservation } from './conservation.ts';
import { feed, type Sender } from './feed.ts';
import { readOutcome } from './outcome.ts';
import { type Output, showProgress } from './progress.ts';
import { commandsFor, readPurchases, DEFAULT_PURCHASES } from './purchases.ts';
import { replayOne } from './replay-one.ts';
import { type NextSteps, type Summary, summarize } from './summary.ts';

export interface DemoOptions extends Sender, NextSteps {
  pool: Pool;
  out: Output;
  /** True: send all purchases in the file. False: send the first 300. */
  all: boolean;
  signal?: AbortSignal;
}

/** Returns the printed summary. Requires the bank's schema and a running worker with the bank's commands. */
export async function runDemo(options: DemoOptions): Promise<Summary> {
  const { pool, out, all } = options;
  const purchases = await readPurchases();
  const commands = [...commandsFor(all ? purchases : purchases.slice(0, DEFAULT_PURCHASES))];
  const messageIds = commands.map((command) => command.messageId);

  out.write(
    `Sending ${commands.length} commands: new accounts, and purchases by CDNOW's customers since 1997.\n`,
  );
  const startedAt = performance.now();
  const display = showProgress(out, commands.length);
  const fed = await feed(commands, { ...options, onProgress: display.update }).finally(display.stop);
  const seconds = (performance.now() - startedAt) / 1_000;

  out.write('\n');
  const replayed = await replayOne({
    ...options,
    messageIds,
    print: (sentence) => out.write(`${sentence}\n`),
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
  out.write(summarize(summary));
  return summary;
}
