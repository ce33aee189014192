/**
 * Reads the purchases of data/CDNOW_sample.txt and turns them into commands.
 *
 * @module
 */
import { readFile } from 'node:fs/promises';
import type { Envelope } from '../../src/core/protocol.ts';
import { sourceFile } from './source-file.ts';

export const SHOP = 'shop';

/**
 * What every customer starts with: 600 dollars. In the order of the file, 2 of the first 111 customers then run out of
 * money, in 9 of the first 300 purchases; in the whole file 53 of 2,357 customers do, in 420 of 6,919 purchases.
 */
export const OPENING_BALANCE_CENTS = 60_000;

/** How many purchases the demo sends unless it is told to send all. */
export const SOME_PURCHASES = 300;

/** Purchases sent together. With 24 commands in flight, a few of 300 purchases overtake their account; one by one, 137 did. */
const PORTION = 40;

export interface Purchase {
  /** Line in the file, from 1. */
  line: number;
  /** The customer's number in the complete data set, five digits. */
  customer: string;
  /** YYYY-MM-DD */
  day: string;
  cds: number;
  amountCents: number;
}

/** A command that is ready to be sent: the same purchase always has the same message_id. */
export interface FeedCommand {
  messageId: string;
  envelope: Envelope;
}

const LINE = /^ (\d{5}) (\d{4}) (\d{4})(\d{2})(\d{2}) +(\d+) +(\d+)\.(\d{2})$/;

export async function readPurchases(): Promise<Purchase[]> {
  return parsePurchases(await readFile(sourceFile('data/CDNOW_sample.txt'), 'utf8'));
}

/** Throws SyntaxError with the number of the first line that is not a purchase: money is not guessed at. */
export function parsePurchases(text: string): Purchase[] {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line, index) => parseLine(line, index + 1));
}

function parseLine(text: string, line: number): Purchase {
  const match = LINE.exec(text);
  if (!match) {
    throw new SyntaxError(
      `line ${line} is not a purchase: ${JSON.stringify(text.slice(0, 80))}; ` +
        'expected " customer(5 digits) customer(4 digits) YYYYMMDD CDs dollars.cents"',
    );
  }
  const [, customer = '', , year, month, date, cds, dollars, cents] = match;
  const day = `${year}-${month}-${date}`;
  if (!isDay(day)) throw new SyntaxError(`line ${line} has an impossible date: ${day}`);
  const amountCents = Number(dollars) * 100 + Number(cents);
  if (!Number.isSafeInteger(amountCents)) throw new SyntaxError(`line ${line} has an impossible amount`);
  return { line, customer, day, cds: Number(cds), amountCents };
}

function isDay(day: string): boolean {
  const time = Date.parse(`${day}T00:00:00Z`);
  // JavaScript reads 31 June as 1 July.
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(day);
}

/**
 * The shop's account, then portion by portion: the accounts of the customers who are new, and what was bought.
 *
 * So an account is sent ahead of its purchases, but not so far ahead that it must be there: as in real life, now and then
 * a purchase comes too early and finds no account.
 *
 * A purchase of 0.00 is sent like any other. To the bank it is a transfer of nothing, which the schema of
 * `TransferFunds` refuses: a dead letter with the reason `InvalidPayload` says so to a person, while leaving the line out
 * here would lose it silently.
 */
export function* commandsFor(purchases: readonly Purchase[]): Generator<FeedCommand> {
  yield openAccount(SHOP, 'CDNOW', 0);
  const customers = new Set<string>();
  for (let start = 0; start < purchases.length; start += PORTION) {
    const portion = purchases.slice(start, start + PORTION);
    for (const { customer } of portion) {
      if (customers.has(customer)) continue;
      customers.add(customer);
      yield openAccount(customer, `Customer ${customer}`, OPENING_BALANCE_CENTS);
    }
    yield* portion.map(payShop);
  }
}

function openAccount(accountId: string, owner: string, openingBalanceCents: number): FeedCommand {
  return {
    messageId: `cdnow-account-${accountId}`,
    envelope: {
      commandType: 'CreateAccount',
      payload: { accountId, owner, openingBalanceCents },
      correlationId: `cdnow-${accountId}`,
    },
  };
}

function payShop({ customer, line, day, cds, amountCents }: Purchase): FeedCommand {
  return {
    messageId: `cdnow-${customer}-${line}`,
    envelope: {
      commandType: 'TransferFunds',
      payload: { from: customer, to: SHOP, amountCents },
      correlationId: `cdnow-${customer}`,
      metadata: { day, cds },
    },
  };
}
