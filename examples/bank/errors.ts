/**
 * The errors of the bank's commands. The first three become dead letters immediately, because a retry cannot help. The
 * others are transient and are retried.
 *
 * @module
 */
import { UnrecoverableError } from 'temporal-inbox';

export class InsufficientFunds extends UnrecoverableError {
  constructor(
    readonly accountId: string,
    readonly balanceCents: bigint,
    readonly neededCents: number,
  ) {
    // Amounts are text, because a balance may have more digits than a JSON number can represent.
    super('InsufficientFunds', {
      account: accountId,
      balanceCents: String(balanceCents),
      neededCents: String(neededCents),
    });
  }
}

export class AccountAlreadyExists extends UnrecoverableError {
  constructor(readonly accountId: string) {
    super('AccountAlreadyExists', { account: accountId });
  }
}

export class TransferDeclined extends UnrecoverableError {
  constructor(readonly transferId: string) {
    super(
      'TransferDeclined',
      { transfer: transferId },
      { message: 'the fraud check declined this transfer' },
    );
  }
}

/**
 * This error is transient on purpose. Workflows run in no particular order, so a transfer may run before the
 * `CreateAccount` that was sent earlier, and the account exists a moment later. If it never appears, the command fails
 * when its attempts are used up.
 */
export class AccountNotFound extends Error {
  override readonly name = 'AccountNotFound';

  constructor(readonly accountId: string) {
    super(
      `account ${JSON.stringify(accountId)} does not exist yet; send its CreateAccount, then replay this command`,
    );
  }
}

/** Another transaction holds the lock on one of these accounts. */
export class AccountBusy extends Error {
  override readonly name = 'AccountBusy';

  constructor(
    readonly accountIds: readonly string[],
    cause: unknown,
  ) {
    super(`another transaction holds the lock on account ${accountIds.join(' or ')}`, { cause });
  }
}

/** Another transaction appended to the stream after it was read, so the decision is based on an old state. */
export class ConcurrencyError extends Error {
  override readonly name = 'ConcurrencyError';

  constructor(
    readonly streamIds: readonly string[],
    options: { cause?: unknown } = {},
  ) {
    super(`stream ${streamIds.join(' or ')} has changed since it was read`, options);
  }
}

/** The fraud check gave no usable answer and no Retry-After header. */
export class FraudCheckUnavailable extends Error {
  override readonly name = 'FraudCheckUnavailable';
}
