/**
 * `--payload`: JSON, a file, or stdin. Linux limits an argument to 128 KiB, and a payload can be 1 MiB.
 *
 * @module
 */
import type { Command } from 'commander';
import type { Json } from '../../core/json.ts';
import { parseJson } from './lines.ts';
import { readText } from './text-input.ts';

/** For help texts. The forms are unambiguous: JSON never begins with @, and a single hyphen is not JSON. */
export const PAYLOAD_FORMS = 'JSON, @file, or - for stdin';

/** @throws CommanderError with exit code 2 if `--payload` is given without exactly one message id */
export function checkPayloadGoesWith(
  command: Command,
  messageIds: readonly string[],
  payload: string | undefined,
): void {
  if (payload === undefined || messageIds.length === 1) return;
  command.error('error: --payload needs exactly one message id', { exitCode: 2 });
}

/** @throws the same errors as {@link readPayload} */
export async function payloadOf({ payload }: { payload?: string }): Promise<{ payload?: Json }> {
  return payload === undefined ? {} : { payload: await readPayload(payload) };
}

/** @throws InvalidMessageError when the payload cannot be read, is too long, or is not JSON in UTF-8 */
export async function readPayload(option: string): Promise<Json> {
  const [, path] = /^(?:@(.+)|-)$/s.exec(option) ?? [];
  if (path === undefined && option !== '-') return parseJson('--payload', option) as Json;
  const source = path ?? '-';
  const text = await readText(source, '--payload');
  return parseJson(`--payload (${source === '-' ? 'stdin' : source})`, text) as Json;
}
