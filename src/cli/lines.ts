/**
 * Commands as lines of NDJSON, sent in as few transactions as they come.
 *
 * @module
 */
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { isDeadlock } from '../database.ts';
import { InboxError, InvalidMessageError } from '../errors.ts';
import type { Inbox } from '../inbox.ts';
import type { Message } from '../send.ts';

export interface Tally {
  accepted: number;
  duplicate: number;
  refused: number;
}

export interface LineEvents {
  /** This line was passed over: the file can be mended and sent again, what was accepted is then a duplicate. */
  refused: (line: number, error: InboxError) => void;
  /** So many more lines have their answer. */
  sent: (lines: number) => void;
}

/** In characters: payloads may have 1 MiB each, and a batch is one parameter of one statement. */
const MAX_BATCH_LENGTH = 4_194_304;

interface Line {
  number: number;
  text: string;
}

interface NumberedMessage {
  line: number;
  message: Message;
}

/**
 * A transaction takes what has come in while the last one was under way: hundreds of a file's lines, and each line of a
 * slow pipe at once.
 *
 * @param size - lines in one transaction at most
 * @throws what the database throws: the lines after that would fare no better
 */
export async function sendLines(
  inbox: Inbox,
  input: Readable,
  size: number,
  events: LineEvents,
): Promise<Tally> {
  const tally: Tally = { accepted: 0, duplicate: 0, refused: 0 };
  const lines = Readable.from(numbered(input), { highWaterMark: size });
  for await (const first of lines) {
    const batch = [first as Line];
    let length = batch[0]!.text.length;
    while (batch.length < size && length < MAX_BATCH_LENGTH) {
      const next = lines.read() as Line | null;
      if (next === null) break;
      batch.push(next);
      length += next.text.length;
    }
    const refusals = await sendBatch(inbox, batch, tally);
    for (const { line, error } of refusals.sort((a, b) => a.line - b.line)) events.refused(line, error);
    tally.refused += refusals.length;
    events.sent(batch.length);
  }
  return tally;
}

async function* numbered(input: Readable): AsyncGenerator<Line> {
  let number = 0;
  for await (const text of createInterface({ input, crlfDelay: Infinity })) {
    number += 1;
    if (text.trim() !== '') yield { number, text };
  }
}

interface Refusal {
  line: number;
  error: InboxError;
}

async function sendBatch(inbox: Inbox, batch: readonly Line[], tally: Tally): Promise<Refusal[]> {
  const messages: NumberedMessage[] = [];
  const refusals: Refusal[] = [];
  for (const { number, text } of batch) {
    try {
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
    throw new InvalidMessageError('the line', 'is no JSON object with messageId, type and payload');
  }
  return value as Message;
}

/** @throws InvalidMessageError that names the field */
export function parseJson(field: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidMessageError(field, `is no JSON: ${(error as Error).message}`);
  }
}
