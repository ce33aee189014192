/**
 * Commands as lines of NDJSON, sent in as few transactions as they come.
 *
 * @module
 */
import type { Readable } from 'node:stream';
import { isDeadlock } from '../../platform/postgres.ts';
import { messageOf } from '../../platform/error-message.ts';
import { InboxError, InvalidMessageError } from '../../core/errors.ts';
import type { Inbox } from '../../sending/inbox.ts';
import { findInexactNumber } from '../../core/json-text.ts';
import type { Message } from '../../commands/message.ts';
import { LineSplitter } from './line-splitter.ts';
import type { Line } from './line-splitter.ts';
import { wrongFormat } from './text-input.ts';

export interface Tally {
  accepted: number;
  duplicate: number;
  refused: number;
}

export interface LineEvents {
  /** This line was passed over: the file can be corrected and sent again, what was accepted is then a duplicate. */
  refused: (line: number, error: InboxError) => void;
  /** So many more lines have their answer; the last of them has this number. */
  sent: (lines: number, last: number, tally: Tally) => void;
}

/** In bytes: payloads may have 1 MiB each, and a batch is one parameter of one statement. */
const MAX_BATCH_BYTES = 4_194_304;
/** What tells the formats apart that are not text. */
const LONGEST_MARK = 6;

interface NumberedMessage {
  line: number;
  message: Message;
}

/**
 * A transaction takes what has come in while the last one was under way: hundreds of a file's lines, and each line of a
 * slow pipe at once.
 *
 * @param size - lines in one transaction at most
 * @throws InvalidMessageError when the input is no text in UTF-8 at all; what the database throws: the lines after that would fare
 *   no better
 */
export async function sendLines(
  inbox: Inbox,
  input: Readable,
  size: number,
  events: LineEvents,
): Promise<Tally> {
  const tally: Tally = { accepted: 0, duplicate: 0, refused: 0 };
  const send = async (batch: readonly Line[]) => {
    const refusals = await sendBatch(inbox, batch, tally);
    for (const { line, error } of refusals.sort((a, b) => a.line - b.line)) events.refused(line, error);
    tally.refused += refusals.length;
    events.sent(batch.length, batch.at(-1)!.number, tally);
  };
  let batch: Line[] = [];
  let bytes = 0;
  for await (const line of linesOf(input)) {
    if (line !== null) {
      batch.push(line);
      bytes += line.bytes;
    }
    const full = batch.length >= size || bytes >= MAX_BATCH_BYTES;
    if (batch.length === 0 || !(full || line === null)) continue;
    await send(batch);
    batch = [];
    bytes = 0;
  }
  return tally;
}

/** Null wherever nothing more has come in yet, and at the end. */
async function* linesOf(input: Readable): AsyncGenerator<Line | null> {
  const splitter = new LineSplitter();
  for await (const chunk of fromFirstBytes(input)) {
    yield* splitter.push(chunk);
    if (input.readableLength === 0) yield null;
  }
  yield* splitter.end();
  yield null;
}

/** Waits until it can tell what the input is; what has less bytes is text. */
async function* fromFirstBytes(input: Readable): AsyncGenerator<Buffer> {
  let start: Buffer | null = Buffer.alloc(0);
  for await (const chunk of chunksOf(input)) {
    if (start === null) {
      yield chunk;
      continue;
    }
    start = Buffer.concat([start, chunk]);
    if (start.length < LONGEST_MARK) continue;
    yield checkedStart(start);
    start = null;
  }
  if (start !== null && start.length > 0) yield checkedStart(start);
}

async function* chunksOf(input: Readable): AsyncGenerator<Buffer> {
  try {
    yield* input as AsyncIterable<Buffer>;
  } catch (error) {
    throw new InvalidMessageError('the input', `cannot be read: ${messageOf(error)}`);
  }
}

function checkedStart(start: Buffer): Buffer {
  const wrong = wrongFormat(start);
  if (wrong !== null) throw new InvalidMessageError('line 1', `cannot be read: the input ${wrong}`);
  return start;
}

interface Refusal {
  line: number;
  error: InboxError;
}

async function sendBatch(inbox: Inbox, batch: readonly Line[], tally: Tally): Promise<Refusal[]> {
  const messages: NumberedMessage[] = [];
  const refusals: Refusal[] = [];
  for (const { number, text, problem } of batch) {
    try {
      if (problem) throw problem;
      messages.push({ line: number, message: parseLine(text) });
    } catch (error) {
      refusals.push(refusal(number, error));
    }
  }
  return [...refusals, ...(await sendAll(inbox, messages, tally))];
}

/**
 * All in one transaction; where one of them is refused, in two halves, until that one is alone. So one bad line among
 * 200 costs about 16 transactions more, not 200.
 */
async function sendAll(inbox: Inbox, messages: readonly NumberedMessage[], tally: Tally): Promise<Refusal[]> {
  if (messages.length === 0) return [];
  try {
    for (const { answer } of await inbox.send(messages.map(({ message }) => message))) tally[answer] += 1;
    return [];
  } catch (error) {
    // Two senders with the same messages in another order wait for each other; with one message nobody can.
    if (!(error instanceof InboxError) && !isDeadlock(error)) throw error;
    if (messages.length === 1) return [refusal(messages[0]!.line, error)];
    const half = messages.length >> 1;
    const before = await sendAll(inbox, messages.slice(0, half), tally);
    return [...before, ...(await sendAll(inbox, messages.slice(half), tally))];
  }
}

function refusal(line: number, error: unknown): Refusal {
  if (!(error instanceof InboxError)) throw error;
  return { line, error };
}

function parseLine(text: string): Message {
  const value = parseJson('the line', text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const hint = Array.isArray(value) ? "; an array's elements, one a line: jq -c '.[]'" : '';
    throw new InvalidMessageError('the line', `is not a JSON object with messageId, type and payload${hint}`);
  }
  return value as Message;
}

/** @throws InvalidMessageError that names the field, also for numbers that JSON.parse would change */
export function parseJson(field: string, text: string): unknown {
  const value = parse(field, text);
  const problem = findInexactNumber(text);
  if (problem !== null) throw new InvalidMessageError(field, problem);
  return value;
}

function parse(field: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidMessageError(field, `is not JSON: ${(error as Error).message}`);
  }
}
