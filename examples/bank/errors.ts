/**
 * How the bank's commands fail. The first three are dead letters at once, because time does not heal them; the others
 * are tried again.
 *
 * @module
 */
import { UnrecoverableError } from '../../src/core/errors.ts';

export class InsufficientFunds extends UnrecoverableError {
  constructor(
    readonly accountId: string,
    readonly balanceCents: bigint,
    readonly neededCents: number,
  ) {
    // As text: a balance may have more digits than a JSON number keeps.
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
 * Transient on purpose. Workflows have no order between them: a transfer may run before the `CreateAccount` that was
 * sent ahead of it, and a moment later the account is there. One that never appears uses up the attempts.
 */
export class AccountNotFound extends Error {
  override readonly name = 'AccountNotFound';

  constructor(readonly accountId: string) {
    super(
      `there is no account ${JSON.stringify(accountId)} yet; send its CreateAccount, then replay this command`,
    );
  }
}

/** Somebody else holds the lock of one of these accounts. */
export class AccountBusy extends Error {
  override readonly name = 'AccountBusy';

  constructor(
    readonly accountIds: readonly string[],
    cause: unknown,
  ) {
    super(`another transaction holds ${accountIds.join(' or ')}`, { cause });
  }
}

/** Somebody else appended to the stream since it was read, so the decision rests on an old state. */
export class ConcurrencyError extends Error {
  override readonly name = 'ConcurrencyError';

  constructor(
    readonly streamIds: readonly string[],
    options: { cause?: unknown } = {},
  ) {
    super(`${streamIds.join(' or ')} is no longer at the version that was read`, options);
  }
}

/** The fraud check gave no usable answer, and did not say when to come back. */
export class FraudCheckUnavailable extends Error {
  override readonly name = 'FraudCheckUnavailable';
}
