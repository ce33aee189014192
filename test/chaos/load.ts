/**
 * Commands on their way in, over both ways, with duplicates; and what their senders were told.
 *
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import type { Inbox } from '../../src/inbox.ts';
import type { JsonObject } from '../../src/json.ts';
import { ACCOUNTS } from './bank.ts';
import type { Answer, Journal } from './journal.ts';
import type { Random } from './random.ts';

export interface LoadOptions {
  inbox: Inbox;
  client: Client;
  taskQueue: string;
  journal: Journal;
  random: Random;
  /** Senders at the same time. */
  senders: number;
  /** Commands a second of all of them. */
  rate: number;
  signal: AbortSignal;
}

export interface LoadCounts {
  sent: number;
  started: number;
  duplicates: number;
  unknown: number;
}

interface Sending {
  messageId: string;
  payload: JsonObject;
}

const DUPLICATES = 0.15;

/** Until the signal. Each sender waits for its answer before it goes on, like a real one. */
export async function runLoad(options: LoadOptions): Promise<LoadCounts> {
  const counts: LoadCounts = { sent: 0, started: 0, duplicates: 0, unknown: 0 };
  const before: Sending[] = [];
  let number = 0;
  const sender = async () => {
    while (!options.signal.aborted) {
      const repeat = before.length > 0 && options.random.chance(DUPLICATES);
      number += repeat ? 0 : 1;
      const sending = repeat ? options.random.pick(before) : newSending(options.random, number);
      if (repeat) counts.duplicates += 1;
      else before.push(sending);
      await sendOnce(options, sending, counts);
      await sleep((1_000 * options.senders) / options.rate, undefined, { signal: options.signal }).catch(
        () => {},
      );
    }
  };
  await Promise.all(Array.from({ length: options.senders }, () => sender()));
  return counts;
}

function newSending(random: Random, number: number): Sending {
  return {
    messageId: `transfer-${number}`,
    payload: {
      from: random.below(ACCOUNTS),
      to: random.below(ACCOUNTS),
      cents: 1 + random.below(500),
      events: random.below(4),
      failures: random.chance(0.1) ? 1 + random.below(2) : 0,
      dies: random.chance(0.04),
      sleepMs: random.chance(0.1) ? random.below(200) : 0,
    },
  };
}

async function sendOnce(
  options: LoadOptions,
  { messageId, payload }: Sending,
  counts: LoadCounts,
): Promise<void> {
  const { inbox, journal, random } = options;
  const viaPostgres = random.chance(0.6);
  let answer: Answer = 'ok';
  try {
    if (viaPostgres) await inbox.send({ messageId, type: 'Transfer', payload });
    else await start(options, messageId, payload);
    counts[viaPostgres ? 'sent' : 'started'] += 1;
  } catch {
    // The answer was lost, or a server was away: it may have been accepted, or not.
    answer = 'unknown';
    counts.unknown += 1;
  }
  journal.add({ messageId, commandType: 'Transfer', payload, answer });
}

async function start(
  { client, taskQueue }: LoadOptions,
  messageId: string,
  payload: JsonObject,
): Promise<void> {
  try {
    await client.withDeadline(Date.now() + 5_000, () =>
      client.workflow.start('handleCommand', {
        workflowId: messageId,
        taskQueue,
        args: [{ commandType: 'Transfer', payload }],
      }),
    );
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}
