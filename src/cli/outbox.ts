import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { parkedEvents, releaseEvents, skipEvent } from '../operations.ts';
import type { ParkedReport } from '../operations.ts';
import { defaultActor, withPool } from './context.ts';
import { age, cut, note, print, printJson, printTable } from './output.ts';

interface NoteOptions {
  actor: string;
  reason?: string;
  json?: boolean;
}

export function addOutbox(program: Command): void {
  const outbox = program
    .command('outbox')
    .description('events that the publisher rejects; each holds back the events of its own aggregate');
  outbox
    .command('list', { isDefault: true })
    .description('rejected events, the oldest first')
    .option('--limit <n>', 'at most this many', parseLimit, 50)
    .option('--json', 'JSON on stdout')
    .action(({ limit, json = false }: { limit: number; json?: boolean }) =>
      withPool(async (pool) => {
        const events = await parkedEvents(pool, { limit });
        if (json) printJson(events);
        else printEvents(events, limit);
      }),
    );
  noteOptions(
    outbox
      .command('release')
      .argument('[event-id]', 'the rejected event')
      .option('--all', 'every rejected event')
      .description('publish rejected events again at once, after their cause was fixed'),
  ).action(
    async (
      eventId: string | undefined,
      { all, ...options }: NoteOptions & { all?: boolean },
      command: Command,
    ) => {
      if ((eventId === undefined) !== (all === true))
        command.error('error: give an event id or --all', { exitCode: 2 });
      await withPool(async (pool) => {
        const released = await releaseEvents(pool, eventId ?? null, options);
        if (options.json) printJson({ released });
        else
          print(
            released.length === 1 ? `${released[0]} is tried again` : `${released.length} are tried again`,
          );
      });
    },
  );
  noteOptions(
    outbox
      .command('skip')
      .argument('<event-id>', 'the rejected event')
      .description('leave a rejected event out for good; the events behind it are published, its row stays'),
  ).action((eventId: string, options: NoteOptions) =>
    withPool(async (pool) => {
      await skipEvent(pool, eventId, options);
      if (options.json) printJson({ skipped: eventId });
      else print(`${eventId} is skipped`);
    }),
  );
}

function noteOptions(command: Command): Command {
  return command
    .option('--actor <name>', 'who does this, for the audit', defaultActor())
    .option('--reason <text>', 'why, for the audit')
    .option('--json', 'JSON on stdout');
}

function printEvents(events: ParkedReport[], limit: number): void {
  printTable(
    ['EVENT', 'AGGREGATE', 'TYPE', 'TRIES', 'SINCE', 'WAITING', 'LAST ERROR'],
    events.map((event) => [
      event.eventId,
      cut(`${event.aggregateType} ${event.aggregateId}`, 40),
      cut(event.type, 30),
      event.tries,
      age(event.parkedAt),
      event.waiting,
      cut(event.lastError, 60),
    ]),
  );
  if (events.length === limit) note(`more may be there: --limit ${limit * 2}`);
}

function parseLimit(text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError('It is a whole number from 1 to 99999.');
  return Number(text);
}
