import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { SingleBar } from 'cli-progress';
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { readSettings } from '../config.ts';
import { InboxError, InvalidMessageError } from '../errors.ts';
import { createInbox } from '../inbox.ts';
import type { Inbox } from '../inbox.ts';
import type { Json } from '../json.ts';
import type { Message } from '../send.ts';
import { withPool } from './context.ts';
import { parseJson, sendLines } from './lines.ts';
import type { Tally } from './lines.ts';
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
    .option('--concurrency <n>', 'how many lines are on their way at a time', parseConcurrency, 200)
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
  const message: Message = {
    messageId,
    type,
    payload: parseJson('--payload', payload) as Json,
    correlationId: options.correlation ?? null,
    causationId: options.causation ?? null,
  };
  const { answer } = await withInbox((inbox) => inbox.send(message));
  if (options.json) printJson({ messageId, answer });
  else print(`${printable(messageId)} ${answer}`);
}

async function sendMany(file: string, { concurrency, json }: Options): Promise<void> {
  const input = file === '-' ? process.stdin : await openFile(file);
  const bar = process.stderr.isTTY
    ? new SingleBar({ format: '{value} sent, {duration_formatted}', stream: process.stderr })
    : null;
  bar?.start(0, 0);
  const tally = await withInbox((inbox) =>
    sendLines(inbox, input, concurrency, {
      refused: (line, error) => note(`line ${line}: ${printable(error.message)}`),
      sent: (lines) => bar?.increment(lines),
    }),
  ).finally(() => bar?.stop());
  report(tally, json ?? false);
}

function report(tally: Tally, json: boolean): void {
  if (json) printJson(tally);
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

async function withInbox<T>(work: (inbox: Inbox) => Promise<T>): Promise<T> {
  const { maxPayloadBytes } = readSettings();
  return withPool(async (pool) => {
    const inbox = await createInbox({ pool, maxPayloadBytes });
    try {
      return await work(inbox);
    } finally {
      await inbox.close();
    }
  });
}
