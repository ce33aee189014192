import type { Command } from 'commander';
import { InboxError } from '../../core/errors.ts';
import { discard, replay, restore, whyPending } from '../../operations/index.ts';
import type { ActionAnswer } from '../../operations/index.ts';
import { inspectSearchAttributes } from '../../temporal/search-attributes.ts';
import { ACTOR_HELP, defaultActor, REASON_HELP, withServers } from '../shared/context.ts';
import type { Servers } from '../shared/context.ts';
import { discardSet } from '../shared/discard-set.ts';
import { chosenBy, filterOptions, MESSAGE_IDS_HELP } from '../shared/filter-options.ts';
import type { FilterOptions } from '../shared/filter-options.ts';
import { answer, complain, isJson, print, printable } from '../shared/output.ts';
import { checkPayloadGoesWith, PAYLOAD_FORMS, payloadOf } from '../shared/payload-option.ts';
import { planOptions, replaySet } from '../shared/replay-set.ts';
import type { SetOptions } from '../shared/replay-set.ts';

interface Options extends FilterOptions {
  actor: string;
  reason?: string;
}

export function addReplay(program: Command): void {
  const command = planOptions(operatorOptions(program.command('replay')));
  command
    .description(
      'Replay dead letters after a fix: by message id, or as a campaign all that match the filters',
    )
    .option(
      '--payload <json>',
      `Replace the payload of one message: ${PAYLOAD_FORMS}. It must pass the schema; the old payload is kept`,
    )
    .action(async (messageIds: string[], options: Options & SetOptions & { payload?: string }) => {
      const filter = chosenBy(command, messageIds, options);
      checkPayloadGoesWith(command, messageIds, options.payload);
      if (filter !== null) return replaySet(command, filter, options);
      const payload = await payloadOf(options);
      return withServers((servers) =>
        eachOf(servers, messageIds, 'replayed', (id) =>
          replay(servers, id, { ...noteOf(options), ...payload }),
        ),
      );
    });
}

export function addDiscard(program: Command): void {
  const command = operatorOptions(program.command('discard'));
  command
    .description('Discard dead letters that must never run: by message id, or all that match the filters')
    .option('--yes', 'Do not ask for confirmation')
    .action(async (messageIds: string[], options: Options & { yes?: boolean }) => {
      const filter = chosenBy(command, messageIds, options);
      if (filter !== null) return discardSet(command, filter, options);
      return withServers((servers) =>
        eachOf(servers, messageIds, 'discarded', (id) => discard(servers, id, noteOf(options))),
      );
    });
}

export function addRestore(program: Command): void {
  program
    .command('restore')
    .argument('<message-id...>', 'Message ids of discarded dead letters')
    .option('--actor <name>', ACTOR_HELP, defaultActor())
    .option('--reason <text>', REASON_HELP)
    .description('Restore discarded dead letters, so that they can be replayed')
    .action((messageIds: string[], options: Options) =>
      withServers(async (servers) => {
        const { connection } = servers.client;
        // If they cannot be listed, the workflow starts without search attributes.
        const searchAttributes = await inspectSearchAttributes(connection, servers.namespace).then(
          ({ usable }) => new Set(usable),
          () => false,
        );
        const starter = { ...servers, searchAttributes };
        return eachOf(servers, messageIds, 'restored', (id) => restore(starter, id, noteOf(options)));
      }),
    );
}

function operatorOptions(command: Command): Command {
  return filterOptions(
    command
      .argument('[message-id...]', MESSAGE_IDS_HELP)
      .option('--actor <name>', ACTOR_HELP, defaultActor())
      .option('--reason <text>', REASON_HELP),
  );
}

function noteOf({ actor, reason }: Options): { actor: string; reason?: string } {
  return reason === undefined ? { actor } : { actor, reason };
}

/** One message in the `--json` output. */
interface Outcome {
  messageId: string;
  outcome: string;
  error?: { name: string; message: string };
}

/** Handles the messages one after the other. An error for one message does not stop the others. */
async function eachOf(
  servers: Servers,
  messageIds: string[],
  done: string,
  act: (messageId: string) => Promise<ActionAnswer>,
): Promise<void> {
  const outcomes: Outcome[] = [];
  let failed = 0;
  for (const messageId of messageIds) {
    try {
      await checkDone(servers, messageId, await act(messageId));
      outcomes.push({ messageId, outcome: done });
      if (!isJson()) print(`${printable(messageId)} ${done}`);
    } catch (error) {
      if (!(error instanceof InboxError)) throw error;
      const { name, message } = error;
      outcomes.push({ messageId, outcome: 'failed', error: { name, message } });
      failed += 1;
      if (messageIds.length > 1)
        complain(`inbox: ${printable(message)}`, { messageId, error: { name, message } });
      else if (!isJson()) throw error;
    }
  }
  answer(outcomes, () => {});
  if (failed === 0) return;
  throw new InboxError(
    outcomes.length === 1
      ? outcomes[0]!.error!.message
      : `${failed} of ${messageIds.length} were not ${done}`,
  );
}

async function checkDone(servers: Servers, messageId: string, outcome: ActionAnswer): Promise<void> {
  if (outcome !== 'pending') return;
  const why = await whyPending(servers, messageId);
  throw new InboxError(
    `the request for ${JSON.stringify(messageId)} was sent to Temporal, but no worker of this inbox has processed it yet; ${why}`,
  );
}
