import type { Command } from 'commander';
import { InboxError, InvalidMessageError } from '../errors.ts';
import type { Json } from '../json.ts';
import { discard, replay } from '../operations.ts';
import type { ActionAnswer } from '../operations.ts';
import { defaultActor, withServers } from './context.ts';
import { print, printable } from './output.ts';

interface Options {
  actor: string;
  reason?: string;
  payload?: string;
}

export function addReplay(program: Command): void {
  operatorOptions(program.command('replay'))
    .description('give a dead letter new attempts, after its cause was mended')
    .option('--payload <json>', 'replaces the payload; checked against the schema, and the old one is kept')
    .action((messageId: string, options: Options) =>
      withServers(async (servers) => {
        const payload = options.payload === undefined ? {} : { payload: parsePayload(options.payload) };
        report(messageId, 'replayed', await replay(servers, messageId, { ...noteOf(options), ...payload }));
      }),
    );
}

export function addDiscard(program: Command): void {
  operatorOptions(program.command('discard'))
    .description('give a dead letter up; its entry stays, resolved')
    .action((messageId: string, options: Options) =>
      withServers(async (servers) =>
        report(messageId, 'discarded', await discard(servers, messageId, noteOf(options))),
      ),
    );
}

function operatorOptions(command: Command): Command {
  return command
    .argument('<message-id>')
    .option('--actor <name>', 'who does this, for the audit', defaultActor())
    .option('--reason <text>', 'why, for the audit');
}

function noteOf({ actor, reason }: Options): { actor: string; reason?: string } {
  return reason === undefined ? { actor } : { actor, reason };
}

function parsePayload(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw new InvalidMessageError('--payload', `is no JSON: ${(error as Error).message}`);
  }
}

function report(messageId: string, what: string, answer: ActionAnswer): void {
  if (answer === 'pending') {
    throw new InboxError(
      `the request for ${JSON.stringify(messageId)} is with Temporal, but no worker has taken it up yet; it will be ` +
        'done as soon as one runs on this task queue',
    );
  }
  print(`${printable(messageId)} ${what}`);
}
