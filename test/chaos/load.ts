/**
 * Sends commands over both ways in, with duplicates, and writes the answers that the senders get to the journal.
 *
 * @module
 */
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { Client } from '@temporalio/client';
import { IdempotencyConflictError } from '../../src/core/errors.ts';
import type { Inbox } from '../../src/sending/inbox-types.ts';
import type { JsonObject } from '../../src/core/json.ts';
import { pause } from '../../src/outbox/session.ts';
import { DEFAULT_TASK_QUEUE } from '../../src/core/protocol.ts';
import { ACCOUNTS, TYPES_OF_ONE_RELEASE } from './bank.ts';
import type { Answer, Journal } from './journal.ts';
import type { Random } from './random.ts';

export interface LoadOptions {
  /** Inboxes with different routes to Postgres. Each send uses one of them at random. */
  inboxes: readonly Inbox[];
  client: Client;
  journal: Journal;
  random: Random;
  /** The number of concurrent senders. */
  senders: number;
  /** Commands per second, for all senders together. */
  rate: number;
  /** True if workers of two releases run, which have some command types of their own. */
  twoReleases: boolean;
  /** True if all workers can run workflows whose type is the command's type. */
  typedWorkflows: boolean;
}

export interface LoadCounts {
  /** Distinct messages. */
  commands: number;
  /** Further sends of the same messages. */
  repeats: number;
  /** Sends that Postgres accepted, that Temporal accepted, and that got no answer. */
  sent: number;
  started: number;
  unknown: number;
  /** Sends that were refused because a stranger had sent a different message under the same id. */
  conflicts: number;
}

export interface Load {
  readonly counts: LoadCounts;
  /** Runs until the signal. Like a real sender, each one waits for an answer before its next send. Can be called again. */
  run(signal: AbortSignal): Promise<void>;
  /** Creates a message that a stranger sends first. `contested`: the stranger's message has the same id but differs. */
  invent(contested: boolean): OutgoingMessage;
  /** Makes several senders send this message next, over both ways in. */
  sendSoon(message: OutgoingMessage): void;
}

export interface OutgoingMessage {
  messageId: string;
  commandType: string;
  payload: JsonObject;
  /** A stranger may have sent a different message under this id. Then a conflict is a correct answer. */
  contested: boolean;
}

/** The share of sends that repeat an earlier message. */
const DUPLICATES = 0.15;
/** The shares of express and recorded commands. They are repeated, and started by Temporal clients, like the others. */
const EXPRESS = 0.3;
const RECORDED = 0.3;
/** The share of commands whose handler sends another command, from the process of the worker. */
const SENDS_ANOTHER = 0.1;
/** The share of commands whose type only one of the two releases knows. */
const OF_ONE_RELEASE = 0.12;
/** How many senders send a stranger's message at the same time. */
const SENDERS_OF_INVENTED = 3;

export function createLoad(options: LoadOptions): Load {
  const { random, senders, rate, twoReleases } = options;
  const counts: LoadCounts = { commands: 0, repeats: 0, sent: 0, started: 0, unknown: 0, conflicts: 0 };
  const sentBefore: OutgoingMessage[] = [];
  const queued: OutgoingMessage[] = [];
  let invented = 0;

  function next(): OutgoingMessage {
    const first = queued.shift();
    if (first) return first;
    if (sentBefore.length > 0 && random.chance(DUPLICATES)) {
      counts.repeats += 1;
      // Half of the repeats come soon, while the first send may still be in progress.
      return random.chance(0.5) ? random.pick(sentBefore.slice(-20)) : random.pick(sentBefore);
    }
    counts.commands += 1;
    const message = newMessage(random, counts.commands, twoReleases);
    sentBefore.push(message);
    return message;
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
    sendSoon(message) {
      counts.commands += 1;
      counts.repeats += SENDERS_OF_INVENTED - 1;
      sentBefore.push(message);
      for (let n = 0; n < SENDERS_OF_INVENTED; n += 1) queued.push(message);
    },
  };
}

function newMessage(random: Random, number: number, twoReleases: boolean): OutgoingMessage {
  const message = newTransfer(random, `transfer-${number}`, twoReleases);
  if (!random.chance(SENDS_ANOTHER)) return message;
  const { messageId, commandType: type, payload } = newTransfer(random, `beside-${number}`, twoReleases);
  return { ...message, payload: { ...message.payload, beside: { messageId, type, payload } } };
}

function newTransfer(random: Random, messageId: string, twoReleases: boolean): OutgoingMessage {
  return {
    messageId,
    contested: false,
    commandType:
      twoReleases && random.chance(OF_ONE_RELEASE) ? typeOfOneRelease(random) : typeOfRandomMode(random),
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

function typeOfRandomMode(random: Random): string {
  const share = random.next();
  if (share < EXPRESS) return 'ExpressTransfer';
  return share < EXPRESS + RECORDED ? 'RecordedTransfer' : 'Transfer';
}

async function sendOnce(
  options: LoadOptions,
  { messageId, commandType, payload, contested }: OutgoingMessage,
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
    // Temporal accepts the start; the conflict is only found later, when the workflow claims its entry.
    if (contested && !viaPostgres) answer = 'unknown';
  } catch (error) {
    // The answer was lost or a server was down, so the message may or may not have been accepted.
    answer = 'unknown';
    if (!(error instanceof IdempotencyConflictError)) counts.unknown += 1;
    else if (contested) counts.conflicts += 1;
    else journal.addContradiction({ messageId, problem: 'a conflict with a message that nobody sent' });
  }
  journal.add({ messageId, commandType, payload, answer });
  // The handler sends the other message, so it is not known whether and when that happens.
  const beside = payload['beside'] as { messageId: string; type: string; payload: JsonObject } | undefined;
  if (!beside) return;
  const { type, ...rest } = beside;
  journal.add({ ...rest, commandType: type, answer: 'unknown' });
}

async function start(
  { client, random, typedWorkflows }: LoadOptions,
  messageId: string,
  { commandType, payload }: Pick<OutgoingMessage, 'commandType' | 'payload'>,
): Promise<void> {
  const isTyped = typedWorkflows && random.chance(0.5);
  const [type, argument] = isTyped ? [commandType, payload] : ['handleCommand', { commandType, payload }];
  try {
    await client.withDeadline(Date.now() + 5_000, () =>
      client.workflow.start(type, { workflowId: messageId, taskQueue: DEFAULT_TASK_QUEUE, args: [argument] }),
    );
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
}
