/**
 * Sends a command and waits for its result, for a limited time.
 *
 * @module
 */
import type { CommandContract } from '../commands/contract.ts';
import type { MessageFor, Sent } from '../commands/message.ts';
import { isSettled } from '../store/entries.ts';
import type { EndpointInbox } from './endpoint-inbox.ts';

/** How long Postgres may take to accept the command, in ms. After that, it is unknown whether the command was accepted. */
const SEND_LIMIT_MS = 30_000;

export interface AwaitedMessage {
  inbox: EndpointInbox;
  command: CommandContract;
  message: MessageFor<CommandContract>;
  /** How long to wait for the result after the command was accepted, in ms. */
  waitMs: number;
  /** Ends the wait, but not the send. */
  signal: AbortSignal;
  /** The answer to the send, if the message has already been sent. */
  sent?: Sent;
}

/**
 * Returns the answer, with the entry as it is when the wait ends for any reason.
 *
 * @throws what `inbox.execute` throws before the command is accepted
 */
export async function sendAndWait(awaited: AwaitedMessage): Promise<Sent> {
  const { inbox, command, message, waitMs, signal } = awaited;
  const waitEnd = new AbortController();
  const endWait = () => waitEnd.abort();
  let limit: NodeJS.Timeout | undefined;
  let sent: Sent | undefined;
  const onSent = (answer: Sent) => {
    if (sent) return;
    sent = answer;
    limit = setTimeout(endWait, waitMs);
    signal.addEventListener('abort', endWait);
    if (signal.aborted) endWait();
  };
  if (awaited.sent) onSent(awaited.sent);
  try {
    const options = { timeoutMs: SEND_LIMIT_MS + waitMs, signal: waitEnd.signal, onSent };
    await inbox.execute(command, message, options);
  } catch (error) {
    // Once the command is accepted, no error of the wait matters: the entry shows whether it is a dead letter.
    if (!sent) throw error;
  } finally {
    clearTimeout(limit);
    signal.removeEventListener('abort', endWait);
  }
  const { answer, entry } = sent!;
  if (isSettled(entry)) return { answer, entry };
  const now = await inbox.status(entry.messageId).catch(() => null);
  return { answer, entry: now ?? entry };
}
