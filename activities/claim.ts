/**
 * Starts an attempt, or finds out why there is none to start.
 *
 * @module
 */
import { inboxFailure, splitErrorText } from '../src/failure.ts';
import type { Json } from '../src/json.ts';
import { FAILURE } from '../src/protocol.ts';
import { findLastDeadLetter } from '../src/store/dead-letters.ts';
import type { Entry, NewEntry } from '../src/store/entries.ts';
import { claimEntry, findEntry, hasFingerprint, insertAndClaimEntry } from '../src/store/entries.ts';
import { deadLetterFailure, factsOf, overtaken, reaching, refusal } from './answers.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { recordFailure } from './record-failure.ts';

export type Claim = { kind: 'claimed'; entry: Entry } | { kind: 'completed'; result: Json };

/**
 * @throws ApplicationFailure when nothing is to be run: refused, dead already, or an earlier attempt turned out lost.
 */
export async function claim(
  dependencies: ActivityDependencies,
  messageId: string,
  envelope: NewEntry | null,
): Promise<Claim> {
  const { claims } = dependencies;
  const entry = await reaching(
    envelope ? insertAndClaimEntry(claims, envelope) : claimEntry(claims, messageId),
  );
  return entry ? { kind: 'claimed', entry } : explain(dependencies, messageId, envelope);
}

async function explain(
  dependencies: ActivityDependencies,
  messageId: string,
  envelope: NewEntry | null,
): Promise<Claim> {
  const { claims } = dependencies;
  const entry = await reaching(findEntry(claims, messageId));
  if (!entry) {
    const problem = `no entry has the message_id ${JSON.stringify(messageId)}, and the workflow came without an envelope`;
    throw refusal(FAILURE.invalidEnvelope, `${problem}: start it with {"commandType": …, "payload": …}`);
  }
  if (envelope && !(await reaching(hasFingerprint(claims, envelope)))) {
    const problem = `message_id ${JSON.stringify(messageId)} was accepted before with another command type or payload`;
    throw refusal(
      FAILURE.idempotencyConflict,
      `${problem}; the first one stands, a new command needs a new message_id`,
    );
  }
  switch (entry.status) {
    case 'Completed':
      return { kind: 'completed', result: entry.result };
    case 'DeadLetter':
      throw await deadAlready(dependencies, entry);
    case 'Processing':
      throw await lostAttempt(dependencies, entry);
    case 'Pending':
    case 'Failed':
      // It became claimable between the two statements.
      throw overtaken(entry.attempt);
  }
}

/** The workflow takes up its waiting for an open dead letter; a discarded one is over. */
async function deadAlready(dependencies: ActivityDependencies, entry: Entry) {
  const letter = await reaching(findLastDeadLetter(dependencies.claims, entry.messageId));
  if (!letter) throw overtaken(entry.attempt);
  if (letter.resolution === 'discarded') {
    const by = `discarded by ${letter.resolvedBy}`;
    return refusal(FAILURE.discarded, letter.resolvedReason ? `${by}: ${letter.resolvedReason}` : by);
  }
  const facts = factsOf(dependencies, entry, dependencies.registry.get(entry.commandType));
  const { error, retryCount, failureGroup, reason } = letter;
  return deadLetterFailure(facts, splitErrorText(error), retryCount, failureGroup, reason);
}

/** Started and never ended: its worker died. It was a failed attempt like any other, and uses up a try. */
async function lostAttempt(dependencies: ActivityDependencies, entry: Entry) {
  const message = `attempt ${entry.attempt} was started and never ended: its worker was killed, or could not report`;
  const failure = await reaching(
    recordFailure(dependencies, entry, inboxFailure(FAILURE.workerLost, message, true)),
  );
  return failure ?? overtaken(entry.attempt);
}
