/**
 * Reads the purchases of data/CDNOW_sample.txt and turns them into commands.
 *
 * @module
 */
import { readFile } from 'node:fs/promises';
import type { JsonObject } from 'temporal-inbox';
import type { MessageOptions } from 'temporal-inbox/temporal';
import { sourceFile } from './source-file.ts';

export const SHOP = 'shop';

/**
 * Every customer starts with 600 dollars. If the purchases run in file order, 2 of the first 111 customers run out of
 * money, in 9 of the first 300 purchases. In the whole file, 53 of 2,357 customers run out of money, in 420 of 6,919
 * purchases.
 */
export const OPENING_BALANCE_CENTS = 60_000;

/** How many purchases the demo sends without `--all`. */
export const DEFAULT_PURCHASES = 300;

/**
 * Number of purchases in a batch. A batch first opens the accounts of its new customers. With 24 commands in progress, a
 * few of 300 purchases run before their account exists; when each account was opened directly before its first purchase,
 * 137 did.
 */
const BATCH_SIZE = 40;

export interface Purchase {
  /** Line number in the file, starting at 1. */
  line: number;
  /** The customer's number in the complete data set, five digits. */
  customer: string;
  /** YYYY-MM-DD */
  day: string;
  cds: number;
  amountCents: number;
}

/** A command that is ready to send. The same purchase always has the same message_id. */
export interface FeedCommand {
  messageId: string;
  commandType: string;
  payload: JsonObject;
  /** What comes with the payload. */
  options: MessageOptions;
}

const LINE = /^ (\d{5}) (\d{4}) (\d{4})(\d{2})(\d{2}) +(\d+) +(\d+)\.(\d{2})$/;

export async function readPurchases(): Promise<Purchase[]> {
  return parsePurchases(await readFile(sourceFile('data/CDNOW_sample.txt'), 'utf8'));
}

/** Throws SyntaxError with the number of the first invalid line, because amounts of money must not be guessed. */
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
  // JavaScript parses June 31 as July 1.
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(day);
}

/**
 * Yields the command for the shop's account, then for each batch the accounts of new customers and the purchases.
 *
 * Each account is sent before its purchases, but not so early that it always exists in time. As in production, a purchase
 * sometimes runs too early and finds no account.
 *
 * A purchase of 0.00 is sent like any other. The schema of `TransferFunds` rejects a transfer of 0, so the purchase
 * becomes a dead letter with the error `InvalidPayload`, which people can see. Skipping the line here would lose it
 * silently.
 */
export function* commandsFor(purchases: readonly Purchase[]): Generator<FeedCommand> {
  yield openAccount(SHOP, 'CDNOW', 0);
  const customers = new Set<string>();
  for (let start = 0; start < purchases.length; start += BATCH_SIZE) {
    const batch = purchases.slice(start, start + BATCH_SIZE);
    for (const { customer } of batch) {
      if (customers.has(customer)) continue;
      customers.add(customer);
      yield openAccount(customer, `Customer ${customer}`, OPENING_BALANCE_CENTS);
    }
    yield* batch.map(payShop);
  }
}

function openAccount(accountId: string, owner: string, openingBalanceCents: number): FeedCommand {
  return {
    messageId: `cdnow-account-${accountId}`,
    commandType: 'CreateAccount',
    payload: { accountId, owner, openingBalanceCents },
    options: { correlationId: `cdnow-${accountId}` },
  };
}

function payShop({ customer, line, day, cds, amountCents }: Purchase): FeedCommand {
  return {
    messageId: `cdnow-${customer}-${line}`,
    commandType: 'TransferFunds',
    payload: { from: customer, to: SHOP, amountCents },
    options: { correlationId: `cdnow-${customer}`, metadata: { day, cds } },
  };
}
