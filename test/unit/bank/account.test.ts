import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type Account,
  type AccountEvent,
  deposit,
  fold,
  open,
  receiveTransfer,
  sendTransfer,
} from '../../../examples/bank/account.ts';
import { AccountAlreadyExists, InsufficientFunds } from '../../../examples/bank/errors.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';

function account(balanceCents: bigint): Account {
  return { id: 'a', owner: 'Ann', balanceCents, version: 2 };
}

void describe('account rules', () => {
  void it('computes an account from its events', () => {
    const events: AccountEvent[] = [
      ...open(null, { id: 'a', owner: 'Ann', openingBalanceCents: 1_000 }),
      ...deposit(500),
      ...receiveTransfer('b', 25),
    ];
    const before = fold('a', null, events);
    assert.deepEqual(before, { id: 'a', owner: 'Ann', balanceCents: 1_525n, version: 4 });
    assert.ok(before);
    const after = fold('a', before, sendTransfer(before, 'b', 1_525));
    assert.deepEqual(after, { id: 'a', owner: 'Ann', balanceCents: 0n, version: 5 });
  });

  void it('returns null for a stream without events', () => {
    assert.equal(fold('a', null, []), null);
  });

  void it('opens an account with balance 0 without a deposit', () => {
    assert.deepEqual(open(null, { id: 'a', owner: 'Ann', openingBalanceCents: 0 }), [
      { type: 'AccountOpened', data: { owner: 'Ann' } },
    ]);
  });

  void it('rejects opening an existing account', () => {
    assert.throws(
      () => open(account(0n), { id: 'a', owner: 'Bob', openingBalanceCents: 0 }),
      (error) => error instanceof AccountAlreadyExists && error instanceof UnrecoverableError,
    );
  });

  void it('allows a transfer of the full balance, but not of more', () => {
    assert.equal(sendTransfer(account(100n), 'b', 100).length, 1);
    assert.throws(
      () => sendTransfer(account(100n), 'b', 101),
      (error) =>
        error instanceof InsufficientFunds &&
        error.type === 'InsufficientFunds' &&
        error.message === 'account=a balanceCents=100 neededCents=101',
    );
  });

  void it('keeps balances exact beyond the range of a JavaScript number', () => {
    const most = Number.MAX_SAFE_INTEGER;
    const rich = fold('a', account(0n), [...deposit(most), ...deposit(most), ...deposit(most)]);
    assert.equal(rich?.balanceCents, 3n * BigInt(most));
  });

  void it('rejects a stream that does not start with AccountOpened or contains it twice', () => {
    assert.throws(() => fold('a', null, deposit(1)), /stream "a" is inconsistent: event 1 is FundsDeposited/);
    assert.throws(
      () => fold('a', account(0n), [{ type: 'AccountOpened', data: { owner: 'Bob' } }]),
      /event 3 opens an account that is already open/,
    );
  });
});
