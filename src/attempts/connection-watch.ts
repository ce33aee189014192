/**
 * Watches an attempt's connection: whether it was lost, which Postgres error ended the transaction, and which commands ran.
 *
 * @module
 */
import { DatabaseError } from 'pg';
import type { PoolClient } from 'pg';
import { isTransactionAborted, RolledBackError, sqlState } from '../platform/postgres.ts';
import { forgetPrepared } from '../platform/prepared-statements.ts';
import { endsSession, isDatabaseUnavailable } from '../platform/postgres-errors.ts';
import { errorChain } from '../platform/error-chain.ts';

/**
 * The server ended the session because the attempt itself exceeded a limit (idle in transaction, transaction_timeout).
 */
const OWN_LIMITS = ['25P03', '25P04'];

/** Commands that leave no session state. State that is left by the functions they call is reset after every attempt. */
const PLAIN_COMMANDS =
  /^(?:SELECT|INSERT|UPDATE|DELETE|MERGE|COPY|FETCH|MOVE|BEGIN|SAVEPOINT|RELEASE|ROLLBACK|LOCK TABLE|TRUNCATE TABLE)\b/;

/**
 * Considers only errors of this connection: if the handler calls another server that is down, the attempt counts as failed.
 */
export class ConnectionWatch {
  readonly #client: PoolClient;
  readonly #seen = new Set<object>();
  /** The latest error that is not just a consequence of an earlier one. */
  #cause: DatabaseError | null = null;
  #aborted = false;
  #lost: Error | null = null;
  #reachedOwnLimit = false;
  #touchedSession = false;

  constructor(client: PoolClient) {
    this.#client = client;
    client.on('error', this.#onError);
    client.on('end', this.#onEnd);
    client.connection.on('errorMessage', this.#onErrorMessage);
    client.connection.on('commandComplete', this.#onCommandComplete);
  }

  end(): void {
    this.#client.removeListener('error', this.#onError);
    this.#client.removeListener('end', this.#onEnd);
    this.#client.connection.removeListener('errorMessage', this.#onErrorMessage);
    this.#client.connection.removeListener('commandComplete', this.#onCommandComplete);
  }

  /** True if the connection was lost, no matter what ended the attempt. */
  get lost(): boolean {
    return this.#lost !== null;
  }

  /**
   * True if the handler sent more than queries, such as SET, LISTEN or CREATE TEMP TABLE. Derived from Postgres's command
   * tags, so that no comment and no ORM can hide a command.
   */
  get touchedSession(): boolean {
    return this.#touchedSession;
  }

  /**
   * The database error that made the attempt fail through no fault of its command; null if there is none.
   *
   * @param thrown - the error that the attempt ended with
   */
  unavailability(thrown: unknown): Error | null {
    if (this.#reachedOwnLimit) return null;
    if (this.#lost) return this.#lost;
    const aborted =
      this.#aborted || thrown instanceof RolledBackError || this.#client.getTransactionStatus() === 'E';
    if (aborted && this.#cause && isDatabaseUnavailable(this.#cause)) return this.#cause;
    // Handlers and ORMs wrap the driver's errors.
    const seen = errorChain(thrown).filter((error): error is Error => this.#seen.has(error));
    return seen.find((error) => isDatabaseUnavailable(error)) ?? null;
  }

  readonly #onError = (error: Error): void => {
    this.#lost ??= error;
  };

  readonly #onEnd = (): void => {
    this.#lost ??= new Error('Connection terminated unexpectedly');
  };

  readonly #onCommandComplete = ({ text }: { text: string }): void => {
    if (!PLAIN_COMMANDS.test(text)) this.#touchedSession = true;
    // The inbox's own prepared statements are gone too.
    if (text === 'DEALLOCATE ALL') forgetPrepared(this.#client);
  };

  readonly #onErrorMessage = (error: Error): void => {
    this.#seen.add(error);
    if (endsSession(error)) this.#lost ??= error;
    if (OWN_LIMITS.includes(sqlState(error) ?? '')) this.#reachedOwnLimit = true;
    if (isTransactionAborted(error)) this.#aborted = true;
    else if (error instanceof DatabaseError) this.#cause = error;
  };
}
