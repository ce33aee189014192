import type { Command } from 'commander';
import { parkedEvents, releaseAllEvents, releaseEvent, skipEvent } from '../../operations/index.ts';
import type { ParkedEvent } from '../../operations/index.ts';
import { ACTOR_HELP, defaultActor, REASON_HELP, withPool } from '../shared/context.ts';
import { parseLimit } from '../shared/option-values.ts';
import { age, answer, cut, note, print, printTable } from '../shared/output.ts';

interface NoteOptions {
  actor: string;
  reason?: string;
}

export function addOutbox(program: Command): void {
  const outbox = program
    .command('outbox')
    .description('Show, release and skip parked events, which the broker rejects');
  outbox
    .command('list', { isDefault: true })
    .description('List parked events, longest parked first')
    .option('--limit <n>', 'Maximum number of events to list, 1 to 10000', parseLimit, 100)
    .action(({ limit }: { limit: number }) =>
      withPool(async (pool) => {
        const events = await parkedEvents(pool, limit);
        answer(events, () => printEvents(events));
        if (events.length === limit) note(`there may be more: use --limit ${limit * 2}`);
      }),
    );
  addRelease(outbox);
  addSkip(outbox);
}

function addRelease(outbox: Command): void {
  const command = noteOptions(outbox.command('release'));
  command
    .argument('[event-id]', 'Id of a parked event (a UUID)')
    .description('Release a parked event: publishing it is retried now')
    .option('--all', 'Release all parked events instead of one')
    .action((eventId: string | undefined, { all, ...options }: NoteOptions & { all?: boolean }) => {
      if ((eventId === undefined) === (all === undefined)) {
        command.error('error: give either the id of an event or --all', { exitCode: 2 });
      }
      return withPool(async (pool) => {
        if (eventId !== undefined) await releaseEvent(pool, eventId, noteOf(options));
        const released = eventId === undefined ? await releaseAllEvents(pool, noteOf(options)) : [eventId];
        answer({ released }, () =>
          print(released.length === 1 ? `${released[0]} released` : `${released.length} events released`),
        );
      });
    });
}

function addSkip(outbox: Command): void {
  noteOptions(outbox.command('skip'), true)
    .argument('<event-id>', 'Id of a parked event (a UUID)')
    .description('Skip a parked event: it is never published, and the next event of its aggregate is tried')
    .action((eventId: string, options: NoteOptions) =>
      withPool(async (pool) => {
        await skipEvent(pool, eventId, { ...noteOf(options), reason: options.reason ?? '' });
        answer({ skipped: [eventId] }, () => print(`${eventId} skipped`));
      }),
    );
}

function noteOptions(command: Command, isReasonRequired = false): Command {
  command.option('--actor <name>', ACTOR_HELP, defaultActor());
  if (isReasonRequired)
    command.requiredOption('--reason <text>', 'Why you do this, for the audit trail (required)');
  else command.option('--reason <text>', REASON_HELP);
  return command;
}

function noteOf({ actor, reason }: NoteOptions): { actor: string; reason?: string } {
  return reason === undefined ? { actor } : { actor, reason };
}

function printEvents(events: ParkedEvent[]): void {
  printTable(
    ['EVENT ID', 'AGGREGATE', 'TYPE', 'PARKED FOR', 'ATTEMPTS', 'NEXT TRY', 'EVENTS BLOCKED', 'ERROR'],
    events.map((event) => [
      event.id,
      cut(`${event.aggregateType} ${event.aggregateId}`, 40),
      cut(event.type, 30),
      age(event.parkedAt),
      event.attempts,
      event.nextTryAt,
      event.behind,
      cut(event.error, 80),
    ]),
  );
}
