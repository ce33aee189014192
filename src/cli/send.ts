import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { SingleBar } from 'cli-progress';
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { InboxError, InvalidMessageError } from '../errors.ts';
import { startCommand } from '../start.ts';
import { withServers } from './context.ts';
import type { Servers } from './context.ts';
import { note, print, printable, printJson } from './output.ts';

interface Options {
  id?: string;
  payload?: string;
  file?: string;
  correlation?: string;
  causation?: string;
  concurrency: number;
  json?: boolean;
}

export function addSend(program: Command): void {
  program
    .command('send')
    .argument('[type]', 'command type of the one command to send')
    .description('send one command, or one a line (NDJSON: messageId, type, payload, …) from a file or stdin')
    .option('--id <message-id>', "the sender's idempotency key")
    .option('--payload <json>', "the command's data")
    .option('--correlation <id>', 'correlation_id')
    .option('--causation <id>', 'causation_id')
    .option('--file <path>', 'NDJSON file; - is stdin')
    .option('--concurrency <n>', 'how many are on their way at a time', parseConcurrency, 16)
    .option('--json', 'JSON on stdout')
    .action(async (type: string | undefined, options: Options) => {
      if (options.file !== undefined) return sendMany(options.file, options);
      if (type === undefined || options.id === undefined || options.payload === undefined) {
        program.error('error: send takes a type with --id and --payload, or --file', { exitCode: 2 });
      }
      return sendOne(type, options.id, options.payload, options);
    });
}

function parseConcurrency(text: string): number {
  const concurrency = Number(text);
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > 1_000) {
    throw new InvalidArgumentError('It is a whole number from 1 to 1000.');
  }
  return concurrency;
}

async function sendOne(type: string, messageId: string, payload: string, options: Options): Promise<void> {
  const command = {
    commandType: type,
    payload: parseJson('--payload', payload),
    correlationId: options.correlation ?? null,
    causationId: options.causation ?? null,
  };
  const answer = await withServers((servers) => startCommand(servers, messageId, command));
  if (options.json) printJson({ messageId, answer });
  else print(`${printable(messageId)} ${answer}`);
}

interface Tally {
  accepted: number;
  duplicate: number;
  refused: number;
}

async function sendMany(file: string, options: Options): Promise<void> {
  const input = file === '-' ? process.stdin : await openFile(file);
  const tally: Tally = { accepted: 0, duplicate: 0, refused: 0 };
  const bar = process.stderr.isTTY
    ? new SingleBar({ format: '{value} sent, {duration_formatted}', stream: process.stderr })
    : null;
  bar?.start(0, 0);
  await withServers((servers) => sendLines(servers, input, options.concurrency, tally, bar)).finally(() =>
    bar?.stop(),
  );
  if (options.json) printJson(tally);
  else print(`${tally.accepted} accepted, ${tally.duplicate} duplicate, ${tally.refused} refused`);
  if (tally.refused > 0) throw new InboxError(`${tally.refused} lines were refused; the others are sent`);
}

/** Opened before it is read: a stream that cannot open its file tells nobody who reads it line by line. */
async function openFile(path: string): Promise<Readable> {
  try {
    return (await open(path)).createReadStream();
  } catch (error) {
    throw new InvalidMessageError('--file', `cannot be opened: ${(error as Error).message}`);
  }
}

/** A line that is refused is told and passed over: the file can be sent again, what was accepted is then a duplicate. */
async function sendLines(
  servers: Servers,
  input: Readable,
  concurrency: number,
  tally: Tally,
  bar: SingleBar | null,
): Promise<void> {
  const underWay = new Set<Promise<void>>();
  const broken: unknown[] = [];
  let number = 0;
  for await (const line of createInterface({ input, crlfDelay: Infinity })) {
    number += 1;
    if (line.trim() === '') continue;
    const sending = sendLine(servers, line, number, tally)
      .catch((error: unknown) => void broken.push(error))
      .finally(() => {
        underWay.delete(sending);
        bar?.increment();
      });
    underWay.add(sending);
    if (underWay.size >= concurrency) await Promise.race(underWay);
    if (broken.length > 0) break;
  }
  await Promise.all(underWay);
  // A server that cannot be reached, not a line that is wrong: those after it would fare no better.
  if (broken.length > 0) throw broken[0];
}

async function sendLine(servers: Servers, line: string, number: number, tally: Tally): Promise<void> {
  try {
    const { messageId, type, ...rest } = parseLine(line);
    tally[await startCommand(servers, messageId as string, { commandType: type, ...rest })] += 1;
  } catch (error) {
    if (!(error instanceof InboxError)) throw error;
    tally.refused += 1;
    note(`line ${number}: ${printable(error.message)}`);
  }
}

function parseLine(line: string): Record<string, unknown> {
  const value = parseJson('the line', line);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidMessageError('the line', 'is no JSON object with messageId, type and payload');
  }
  return value as Record<string, unknown>;
}

function parseJson(field: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidMessageError(field, `is no JSON: ${(error as Error).message}`);
  }
}
