/**
 * Commands on their way in, over both ways, with duplicates; and what their senders were told.
 *
 * @module
 */
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { IdempotencyConflictError } from '../../src/core/errors.ts';
import type { Inbox } from '../../src/sending/inbox.ts';
import type { JsonObject } from '../../src/core/json.ts';
import { pause } from '../../src/outbox/session.ts';
import { DEFAULT_TASK_QUEUE } from '../../src/core/protocol.ts';
import { ACCOUNTS, TYPES_OF_ONE_RELEASE } from './bank.ts';
import type { Answer, Journal } from './journal.ts';
import type { Random } from './random.ts';

export interface LoadOptions {
  /** Over different ways to Postgres; one is picked for each send. */
  inboxes: readonly Inbox[];
  client: Client;
  journal: Journal;
  random: Random;
  /** Senders at the same time. */
  senders: number;
  /** Commands a second of all of them. */
  rate: number;
  /** True when workers of two releases run. Each release has command types of its own. */
  twoReleases: boolean;
}

export interface LoadCounts {
  /** Messages of their own, sent at least once. */
  commands: number;
  /** Sent again. */
  repeats: number;
  /** Of both: answered by Postgres, by Temporal, or not at all. */
  sent: number;
  started: number;
  unknown: number;
  /** Refused, since a stranger had sent something else under the same id. */
  conflicts: number;
}

export interface Load {
  readonly counts: LoadCounts;
  /** Until the signal. Each sender waits for its answer before it goes on, like a real one. Can be run again. */
  run(signal: AbortSignal): Promise<void>;
  /** A message for somebody else to send first. `contested`: what they send under its id is another message. */
  invent(contested: boolean): Sending;
  /** Several senders send it next, over both ways. */
  sendSoon(sending: Sending): void;
}

export interface Sending {
  messageId: string;
  commandType: string;
  payload: JsonObject;
  /** Somebody else may have sent another message under this id: then a conflict is the right answer. */
  contested: boolean;
}

const DUPLICATES = 0.15;
/** Of the commands; repeated and started like the others. */
const EXPRESS = 0.3;
const RECORDED = 0.3;
/** Of the commands: these send another one, beside the worker that runs them. */
const BESIDE = 0.1;
/** The share of commands whose type only one of the two releases knows. */
const OF_ONE_RELEASE = 0.12;
/** How many senders send a stranger's message at the same time. */
const SENDERS_OF_INVENTED = 3;

export function createLoad(options: LoadOptions): Load {
  const { random, senders, rate, twoReleases } = options;
  const counts: LoadCounts = { commands: 0, repeats: 0, sent: 0, started: 0, unknown: 0, conflicts: 0 };
  const before: Sending[] = [];
  const soon: Sending[] = [];
  let invented = 0;

  function next(): Sending {
    const first = soon.shift();
    if (first) return first;
    if (before.length > 0 && random.chance(DUPLICATES)) {
      counts.repeats += 1;
      // Half of them soon, while the first may still be under way.
      return random.chance(0.5) ? random.pick(before.slice(-20)) : random.pick(before);
    }
    counts.commands += 1;
    const sending = newSending(random, counts.commands, twoReleases);
    before.push(sending);
    return sending;
  }

  async function sender(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const begun = Date.now();
      await sendOnce(options, next(), counts);
      await pause(Math.max(0, (1_000 * senders) / rate - (Date.now() - begun)), signal);
    }
  }
  return {
    counts,
    async run(signal) {
      await Promise.all(Array.from({ length: senders }, () => sender(signal)));
    },
    invent(contested) {
      invented += 1;
      return { ...newTransfer(random, `stranger-${invented}`, twoReleases), contested };
    },
    sendSoon(sending) {
      counts.commands += 1;
      counts.repeats += SENDERS_OF_INVENTED - 1;
      before.push(sending);
      for (let n = 0; n < SENDERS_OF_INVENTED; n += 1) soon.push(sending);
    },
  };
}

function newSending(random: Random, number: number, twoReleases: boolean): Sending {
  const sending = newTransfer(random, `transfer-${number}`, twoReleases);
  if (!random.chance(BESIDE)) return sending;
  const { messageId, commandType: type, payload } = newTransfer(random, `beside-${number}`, twoReleases);
  return { ...sending, payload: { ...sending.payload, beside: { messageId, type, payload } } };
}

function newTransfer(random: Random, messageId: string, twoReleases: boolean): Sending {
  return {
    messageId,
    contested: false,
    commandType: twoReleases && random.chance(OF_ONE_RELEASE) ? typeOfOneRelease(random) : laneOf(random),
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

function typeOfOneRelease(random: Random): string {
  return random.pick(Object.values(TYPES_OF_ONE_RELEASE).flat());
}

function laneOf(random: Random): string {
  const share = random.next();
  if (share < EXPRESS) return 'ExpressTransfer';
  return share < EXPRESS + RECORDED ? 'RecordedTransfer' : 'Transfer';
}

async function sendOnce(
  options: LoadOptions,
  { messageId, commandType, payload, contested }: Sending,
  counts: LoadCounts,
): Promise<void> {
  const { inboxes, journal, random } = options;
  const viaPostgres = random.chance(0.6);
  const inbox = random.pick(inboxes);
  let answer: Answer = 'ok';
  try {
    if (viaPostgres) await inbox.send({ messageId, type: commandType, payload });
    else await start(options, messageId, { commandType, payload });
    counts[viaPostgres ? 'sent' : 'started'] += 1;
    // A workflow that was started is refused later.
    if (contested && !viaPostgres) answer = 'unknown';
  } catch (error) {
    // The answer was lost, or a server was away: it may have been accepted, or not.
    answer = 'unknown';
    if (!(error instanceof IdempotencyConflictError)) counts.unknown += 1;
    else if (contested) counts.conflicts += 1;
    else journal.contradict({ messageId, said: 'a conflict with a message that nobody sent' });
  }
  journal.add({ messageId, commandType, payload, answer });
  // Whether and when the other one is sent is up to the worker.
  const beside = payload['beside'] as { messageId: string; type: string; payload: JsonObject } | undefined;
  if (!beside) return;
  const { type, ...rest } = beside;
  journal.add({ ...rest, commandType: type, answer: 'unknown' });
}

async function start(
  { client }: LoadOptions,
  messageId: string,
  { commandType, payload }: Pick<Sending, 'commandType' | 'payload'>,
): Promise<void> {
  try {
    await client.withDeadline(Date.now() + 5_000, () =>
      client.workflow.start('handleCommand', {
        workflowId: messageId,
        taskQueue: DEFAULT_TASK_QUEUE,
        args: [{ commandType, payload }],
      }),
    );
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}
