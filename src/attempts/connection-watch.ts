/**
 * What an attempt's connection goes through: whether it was lost, which of Postgres's errors ended the transaction, and which
 * commands ran on it.
 *
 * @module
 */
import { DatabaseError } from 'pg';
import type { PoolClient } from 'pg';
import { isTransactionAborted, RolledBackError, sqlState } from '../platform/postgres.ts';
import { forgetPrepared } from '../platform/prepared-statements.ts';
import { endsSession, isDatabaseUnavailable } from '../platform/postgres-errors.ts';
import { errorChain } from '../platform/error-chain.ts';

/** The server ended the session because the attempt went over a limit of its own (idle, or transaction_timeout). */
const OWN_LIMITS = ['25P03', '25P04'];

/** Commands that leave nothing in the session themselves. What functions do that they call is undone after every attempt. */
const PLAIN_COMMANDS =
  /^(?:SELECT|INSERT|UPDATE|DELETE|MERGE|COPY|FETCH|MOVE|BEGIN|SAVEPOINT|RELEASE|ROLLBACK|LOCK TABLE|TRUNCATE TABLE)\b/;

/**
 * Only this connection's errors are looked at: a handler that calls another server, and finds it down, has failed like any
 * other.
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

  /** The connection is gone, whatever it was that ended the attempt. */
  get lost(): boolean {
    return this.#lost !== null;
  }

  /**
   * The handler sent more than queries, such as SET, LISTEN or CREATE TEMP TABLE. By what Postgres says it has done, so that no
   * comment and no ORM can hide it.
   */
  get touchedSession(): boolean {
    return this.#touchedSession;
  }

  /**
   * The database error that explains why an attempt failed through no fault of its command; null when there is none.
   *
   * @param thrown - what the attempt ended with
   */
  unavailability(thrown: unknown): Error | null {
    if (this.#reachedOwnLimit) return null;
    if (this.#lost) return this.#lost;
    const aborted =
      this.#aborted || thrown instanceof RolledBackError || this.#client.getTransactionStatus() === 'E';
    if (aborted && this.#cause && isDatabaseUnavailable(this.#cause)) return this.#cause;
    // Handlers and ORMs wrap what the driver throws.
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
    // Our own statements are gone as well.
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
