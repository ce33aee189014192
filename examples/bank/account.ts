/**
 * The state of an account, its events, and the bank's rules. All functions are pure: a decision takes a state and returns
 * events. It reads no clock, no database and no network, so every rule can be tested without them.
 *
 * Amounts in events are integer cents, which a JSON number represents exactly. Balances can grow without limit, so they
 * are bigint.
 *
 * @module
 */
import { AccountAlreadyExists, InsufficientFunds } from './errors.ts';

export type AccountEvent =
  | { type: 'AccountOpened'; data: { owner: string } }
  | { type: 'FundsDeposited'; data: { amountCents: number } }
  | { type: 'TransferSent'; data: { amountCents: number; to: string } }
  | { type: 'TransferReceived'; data: { amountCents: number; from: string } };

export interface Account {
  id: string;
  owner: string;
  balanceCents: bigint;
  /** Number of events so far. The next append expects the stream to have this version. */
  version: number;
}

/** Applies the events to the state `before` and returns the new state. Returns `before` if there are no events. */
export function fold(id: string, before: Account | null, events: readonly AccountEvent[]): Account | null {
  return events.reduce<Account | null>((account, event) => apply(id, account, event), before);
}

function apply(id: string, account: Account | null, event: AccountEvent): Account {
  if (event.type === 'AccountOpened') {
    if (account) throw corrupt(id, account.version + 1, 'opens an account that is already open');
    return { id, owner: event.data.owner, balanceCents: 0n, version: 1 };
  }
  if (!account) throw corrupt(id, 1, `is ${event.type}, not AccountOpened`);
  return {
    ...account,
    balanceCents: account.balanceCents + balanceChange(event),
    version: account.version + 1,
  };
}

function balanceChange(event: Exclude<AccountEvent, { type: 'AccountOpened' }>): bigint {
  const amount = BigInt(event.data.amountCents);
  return event.type === 'TransferSent' ? -amount : amount;
}

function corrupt(id: string, version: number, problem: string): Error {
  return new Error(`stream ${JSON.stringify(id)} is inconsistent: event ${version} ${problem}`);
}

export interface Opening {
  id: string;
  owner: string;
  openingBalanceCents: number;
}

export function open(existing: Account | null, { id, owner, openingBalanceCents }: Opening): AccountEvent[] {
  if (existing) throw new AccountAlreadyExists(id);
  const opened: AccountEvent = { type: 'AccountOpened', data: { owner } };
  if (openingBalanceCents === 0) return [opened];
  return [opened, { type: 'FundsDeposited', data: { amountCents: openingBalanceCents } }];
}

/** Adds money from outside the bank. Only this event increases the sum of all balances. */
export function deposit(amountCents: number): AccountEvent[] {
  return [{ type: 'FundsDeposited', data: { amountCents } }];
}

export function sendTransfer(account: Account, to: string, amountCents: number): AccountEvent[] {
  if (account.balanceCents < BigInt(amountCents)) {
    throw new InsufficientFunds(account.id, account.balanceCents, amountCents);
  }
  return [{ type: 'TransferSent', data: { amountCents, to } }];
}

export function receiveTransfer(from: string, amountCents: number): AccountEvent[] {
  return [{ type: 'TransferReceived', data: { amountCents, from } }];
}
