/**
 * Sends commands from NDJSON, with as few transactions as the speed of the input allows.
 *
 * @module
 */
import type { Readable } from 'node:stream';
import { isDeadlock } from '../../platform/postgres.ts';
import { messageOf } from '../../platform/error-message.ts';
import { InboxError, InvalidMessageError } from '../../core/errors.ts';
import type { Inbox } from '../../sending/inbox-types.ts';
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
  /** This line was refused and skipped. The file can be corrected and sent again: accepted commands are then duplicates. */
  refused: (line: number, error: InboxError) => void;
  /** `lines` more lines were answered; `last` is the number of the last one. */
  sent: (lines: number, last: number, tally: Tally) => void;
}

/** A payload can be 1 MiB, and a batch is one parameter of one statement, so a batch is limited in bytes too. */
const MAX_BATCH_BYTES = 4_194_304;
/** Number of first bytes that identify every format in {@link wrongFormat}. */
const FORMAT_BYTES = 6;

interface NumberedMessage {
  line: number;
  message: Message;
}

/**
 * Sends every line as a command. Each transaction sends the lines that arrived during the previous transaction: hundreds of
 * lines of a file, or a single line of a slow pipe without waiting for more.
 *
 * @param size - maximum number of lines in one transaction
 * @throws InvalidMessageError when the input is not UTF-8 text at all; database errors, because the lines that follow would
 *   fail as well
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

/** Yields null whenever no further input has arrived yet, and at the end. */
async function* linesOf(input: Readable): AsyncGenerator<Line | null> {
  const splitter = new LineSplitter();
  for await (const chunk of fromFirstBytes(input)) {
    yield* splitter.push(chunk);
    if (input.readableLength === 0) yield null;
  }
  yield* splitter.end();
  yield null;
}

/** Waits for enough bytes to identify the format. Shorter input is treated as text. */
async function* fromFirstBytes(input: Readable): AsyncGenerator<Buffer> {
  let start: Buffer | null = Buffer.alloc(0);
  for await (const chunk of chunksOf(input)) {
    if (start === null) {
      yield chunk;
      continue;
    }
    start = Buffer.concat([start, chunk]);
    if (start.length < FORMAT_BYTES) continue;
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
 * Sends all messages in one transaction. If one is refused, sends each half separately, down to the single refused message.
 * So one bad line among 200 costs about 16 more transactions, not 200.
 */
async function sendAll(inbox: Inbox, messages: readonly NumberedMessage[], tally: Tally): Promise<Refusal[]> {
  if (messages.length === 0) return [];
  try {
    for (const { answer } of await inbox.send(messages.map(({ message }) => message))) tally[answer] += 1;
    return [];
  } catch (error) {
    // Two senders of the same messages in different orders can deadlock. With a single message they cannot.
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
    const hint = Array.isArray(value)
      ? "; to put the elements of an array on one line each: jq -c '.[]'"
      : '';
    throw new InvalidMessageError('the line', `is not a JSON object with messageId, type and payload${hint}`);
  }
  return value as Message;
}

/** @throws InvalidMessageError, which names the field; also for numbers that JSON.parse would change */
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
