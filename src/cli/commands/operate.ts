import type { Command } from 'commander';
import { InboxError } from '../../core/errors.ts';
import { discard, replay, restore, whyPending } from '../../operations/index.ts';
import type { ActionAnswer } from '../../operations/index.ts';
import { inspectSearchAttributes } from '../../temporal/search-attributes.ts';
import { defaultActor, withServers } from '../shared/context.ts';
import type { Servers } from '../shared/context.ts';
import { discardSet } from '../shared/discard-set.ts';
import { chosenBy, filterOptions } from '../shared/filter-options.ts';
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
      'give dead letters new attempts, after their cause was fixed: by message id, or as a campaign all that the options choose',
    )
    .option(
      '--payload <json>',
      `replaces the payload of one message: ${PAYLOAD_FORMS}; checked against the schema, and the old one is kept`,
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
    .description(
      'discard dead letters, by message id or all that the options choose; their entries stay, resolved',
    )
    .option('--yes', 'without asking')
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
    .argument('<message-id...>')
    .option('--actor <name>', 'who does this, for the audit', defaultActor())
    .option('--reason <text>', 'why, for the audit')
    .description('open discarded dead letters again, so that they can be replayed')
    .action((messageIds: string[], options: Options) =>
      withServers(async (servers) => {
        const { connection } = servers.client;
        // Where they cannot be listed, it goes without them.
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
      .argument('[message-id...]')
      .option('--actor <name>', 'who does this, for the audit', defaultActor())
      .option('--reason <text>', 'why, for the audit'),
  );
}

function noteOf({ actor, reason }: Options): { actor: string; reason?: string } {
  return reason === undefined ? { actor } : { actor, reason };
}

/** What `--json` says of each. */
interface Outcome {
  messageId: string;
  outcome: string;
  error?: { name: string; message: string };
}

/** One after the other; one that cannot be done does not keep the others from it. */
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
    `the request for ${JSON.stringify(messageId)} is with Temporal, but no worker of this inbox has taken it up yet; ${why}`,
  );
}
