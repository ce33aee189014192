/**
 * `--payload`, where it stands for the payload of one dead letter.
 *
 * @module
 */
import type { Command } from 'commander';
import type { Json } from '../json.ts';
import { parseJson } from './lines.ts';

export function checkPayloadGoesWith(
  command: Command,
  messageIds: readonly string[],
  payload: string | undefined,
): void {
  if (payload === undefined || messageIds.length === 1) return;
  command.error('error: --payload goes with one message id', { exitCode: 2 });
}

/** @throws InvalidMessageError */
export function payloadOf({ payload }: { payload?: string }): { payload?: Json } {
  return payload === undefined ? {} : { payload: parseJson('--payload', payload) as Json };
}
