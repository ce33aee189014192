import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import {
  commandsFor,
  OPENING_BALANCE_CENTS,
  parsePurchases,
  type Purchase,
  readPurchases,
  DEFAULT_PURCHASES,
} from '../../../examples/bank/purchases.ts';
import { createAccount, transferFunds } from '../../../examples/bank/commands.ts';

void describe('the purchase file', () => {
  void it('is parsed completely', async () => {
    const purchases = await readPurchases();
    assert.equal(purchases.length, 6_919);
    assert.equal(new Set(purchases.map((purchase) => purchase.customer)).size, 2_357);
    assert.equal(
      purchases.reduce((sum, purchase) => sum + purchase.amountCents, 0),
      24_409_194,
    );
    assert.deepEqual(purchases[0], {
      line: 1,
      customer: '00004',
      day: '1997-01-01',
      cds: 2,
      amountCents: 2_933,
    });
    assert.equal(purchases.filter((purchase) => purchase.amountCents === 0).length, 8);
  });

  void it('may use LF line endings, and its last line may have none', () => {
    const text = ' 00004 0001 19970101  2   29.33\n 00004 0001 19970118 12  129.73';
    assert.deepEqual(
      parsePurchases(text).map(({ line, cds, amountCents }) => ({ line, cds, amountCents })),
      [
        { line: 1, cds: 2, amountCents: 2_933 },
        { line: 2, cds: 12, amountCents: 12_973 },
      ],
    );
    assert.deepEqual(parsePurchases(''), []);
  });

  for (const [what, line] of [
    ['no content', ''],
    ['a missing column', ' 00004 0001 19970101  29.33'],
    ['an extra column', ' 00004 0001 19970101  2   29.33 7'],
    ['a negative amount', ' 00004 0001 19970101  2  -29.33'],
    ['a fraction of a cent', ' 00004 0001 19970101  2   29.335'],
    ['no cents', ' 00004 0001 19970101  2   29'],
    ['an exponent', ' 00004 0001 19970101  2   1e3.00'],
    ['a day that does not exist', ' 00004 0001 19970631  2   29.33'],
    ['an amount beyond 2^53', ' 00004 0001 19970101  2   99999999999999999.00'],
  ] as const) {
    void it(`is rejected with the line number when a line has ${what}`, () => {
      const text = ` 00004 0001 19970101  2   29.33\r\n${line}\r\n 00004 0001 19970101  2   29.33\r\n`;
      assert.throws(() => parsePurchases(text), { name: 'SyntaxError', message: /^line 2 / });
    });
  }
});

void describe('the commands of the feed', () => {
  void it('open each account before its first purchase and use each message_id once', async () => {
    const commands = [...commandsFor(await readPurchases())];
    assert.equal(commands.length, 1 + 2_357 + 6_919);
    assert.equal(new Set(commands.map((command) => command.messageId)).size, commands.length);
    const opened = new Set<unknown>();
    for (const { commandType, payload } of commands) {
      const { accountId, from, to } = z
        .object({ accountId: z.string(), from: z.string(), to: z.string() })
        .partial()
        .parse(payload);
      if (commandType === 'CreateAccount') opened.add(accountId);
      else
        assert.ok(opened.has(from) && opened.has(to), `${from} pays ${to} before both accounts are opened`);
    }
  });

  void it('are the same when the file is read again', async () => {
    const [first, second] = await Promise.all([readPurchases(), readPurchases()]);
    assert.deepEqual([...commandsFor(first)], [...commandsFor(second)]);
  });

  void it('match their schemas, except for purchases of 0.00', async () => {
    const rejected = [...commandsFor(await readPurchases())].filter(({ commandType, payload }) => {
      const command = commandType === 'CreateAccount' ? createAccount : transferFunds;
      return !command.schema.safeParse(payload).success;
    });
    assert.deepEqual(
      rejected.map((command) => command.messageId.split('-')[2]),
      ['226', '449', '718', '873', '3089', '3466', '3832', '6156'],
    );
  });

  // The README and the doc comment of OPENING_BALANCE_CENTS state these numbers.
  void it('make a few customers run out of money', async () => {
    const purchases = await readPurchases();
    assert.deepEqual(simulate(purchases.slice(0, DEFAULT_PURCHASES)), {
      completed: 290,
      insufficientFunds: 9,
      customersOutOfMoney: 2,
      zeroAmount: 1,
      customers: 111,
    });
    assert.deepEqual(simulate(purchases), {
      completed: 6_491,
      insufficientFunds: 420,
      customersOutOfMoney: 53,
      zeroAmount: 8,
      customers: 2_357,
    });
  });
});

/** Computes the outcome when the purchases are handled strictly one after the other. */
function simulate(purchases: readonly Purchase[]): Record<string, number> {
  const balances = new Map<string, number>();
  const outOfMoney = new Set<string>();
  let completed = 0;
  let insufficientFunds = 0;
  let zeroAmount = 0;
  for (const { customer, amountCents } of purchases) {
    const balance = balances.get(customer) ?? OPENING_BALANCE_CENTS;
    balances.set(customer, balance);
    if (amountCents === 0) {
      zeroAmount += 1;
    } else if (balance < amountCents) {
      insufficientFunds += 1;
      outOfMoney.add(customer);
    } else {
      balances.set(customer, balance - amountCents);
      completed += 1;
    }
  }
  return {
    completed,
    insufficientFunds,
    customersOutOfMoney: outOfMoney.size,
    zeroAmount,
    customers: balances.size,
  };
}
