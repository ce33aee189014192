import { SingleBar } from 'cli-progress';
import type { Command } from 'commander';
import { settingsFromEnv } from '../../settings.ts';
import { InboxError, InvalidMessageError } from '../../core/errors.ts';
import { createInbox } from '../../sending/inbox.ts';
import type { Inbox } from '../../sending/inbox-types.ts';
import type { Message } from '../../commands/message.ts';
import { withPool } from '../shared/context.ts';
import { sendLines } from '../shared/lines.ts';
import type { Tally } from '../shared/lines.ts';
import { wholeNumber } from '../shared/option-values.ts';
import { answer, complain, isJson, note, print, printable } from '../shared/output.ts';
import { PAYLOAD_FORMS, readPayload } from '../shared/payload-option.ts';
import { canRedraw } from '../shared/terminal.ts';
import { openInput } from '../shared/text-input.ts';

interface Options {
  id?: string;
  payload?: string;
  file?: string;
  correlation?: string;
  causation?: string;
  concurrency: number;
}

export function addSend(program: Command): void {
  program
    .command('send')
    .argument('[type]', 'Type of the command to send; leave it out with --file')
    .description('Send one command, or many from an NDJSON file')
    .option(
      '--id <message-id>',
      'message_id of the command, the idempotency key: a repeat with the same id is a duplicate',
    )
    .option('--payload <json>', `Payload of the command: ${PAYLOAD_FORMS}`)
    .option('--correlation <id>', 'correlation_id of the command (default: none)')
    .option('--causation <id>', 'causation_id of the command (default: none)')
    .option(
      '--file <path>',
      'Send the commands in this UTF-8 file, one {"messageId", "type", "payload", …} per line; - reads stdin',
    )
    .option(
      '--concurrency <n>',
      'Maximum number of lines to send in one transaction, 1 to 1000',
      wholeNumber(1, 1_000),
      200,
    )
    .action(async (type: string | undefined, options: Options) => {
      if (options.file !== undefined) {
        if (type !== undefined || options.id !== undefined || options.payload !== undefined) {
          program.error(
            'error: with --file, the lines contain type, id and payload; leave them out of the command line',
            { exitCode: 2 },
          );
        }
        return sendMany(options.file, options.concurrency);
      }
      if (type === undefined || options.id === undefined || options.payload === undefined) {
        program.error('error: send takes a type with --id and --payload, or --file', { exitCode: 2 });
      }
      return sendOne(type, options.id, options.payload, options);
    });
}

async function sendOne(type: string, messageId: string, payload: string, options: Options): Promise<void> {
  const message: Message = {
    messageId,
    type,
    payload: await readPayload(payload),
    correlationId: options.correlation ?? null,
    causationId: options.causation ?? null,
  };
  const sent = await withInbox((inbox) => inbox.send(message));
  answer({ messageId, answer: sent.answer }, () => print(`${printable(messageId)} ${sent.answer}`));
}

async function sendMany(file: string, concurrency: number): Promise<void> {
  const input = await openInput(file, '--file');
  const of = file === '-' ? '' : ` of ${printable(file)}`;
  const bar =
    canRedraw(process.stderr) && !isJson()
      ? new SingleBar({ format: '{value} sent, {duration_formatted}', stream: process.stderr })
      : null;
  let sent: { last: number; tally: Tally } | null = null;
  const tally = await trySending().catch((error: unknown) => {
    notePartialSend(sent, of);
    if (error instanceof InvalidMessageError && of !== '') {
      throw new InvalidMessageError(error.field, `${error.problem} (${file})`);
    }
    throw error;
  });
  if (file === '-' && tally.accepted + tally.duplicate + tally.refused === 0)
    note('stdin was empty: nothing was sent');
  report(tally);

  async function trySending(): Promise<Tally> {
    bar?.start(0, 0);
    return withInbox((inbox) =>
      sendLines(inbox, input, concurrency, {
        refused: (line, { name, message }) =>
          complain(`line ${line}${of}: ${printable(message)}`, { file, line, error: { name, message } }),
        sent: (lines, last, soFar) => {
          bar?.increment(lines);
          sent = { last, tally: soFar };
        },
      }),
    ).finally(() => {
      bar?.stop();
      // If the database is unreachable, for example, nothing has read the file yet.
      if (file !== '-') input.destroy();
    });
  }
}

/**
 * After an error in the middle of a file, reports the last line that was sent, and that the whole file can be sent again.
 */
function notePartialSend(sent: { last: number; tally: Tally } | null, of: string): void {
  if (sent === null || sent.tally.refused + sent.tally.accepted + sent.tally.duplicate === 0) return;
  note(
    `sent up to line ${sent.last}${of}: ${inWords(sent.tally)}. Sending all of it again is safe: commands that were already accepted are duplicates`,
  );
}

function report(tally: Tally): void {
  answer(tally, () => print(inWords(tally)));
  if (tally.refused === 0) return;
  const lines = tally.refused === 1 ? 'line was' : 'lines were';
  const { accepted, duplicate } = tally;
  throw new InboxError(
    `${tally.refused} ${lines} refused; the others were sent (${accepted} accepted, ${duplicate} duplicate). Correct the refused lines and ` +
      'send the file again: commands that were already accepted are duplicates',
  );
}

function inWords({ accepted, duplicate, refused }: Tally): string {
  return `${accepted} accepted, ${duplicate} duplicate, ${refused} refused`;
}

async function withInbox<T>(work: (inbox: Inbox) => Promise<T>): Promise<T> {
  const { maxPayloadBytes } = settingsFromEnv();
  return withPool(async (pool) => {
    const inbox = await createInbox({ pool, maxPayloadBytes });
    try {
      return await work(inbox);
    } finally {
      await inbox.close();
    }
  });
}
