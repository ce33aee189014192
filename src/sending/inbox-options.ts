/**
 * Checks a sender's arguments before they are used. A wrong limit or a wrong client would otherwise be noticed much later,
 * or never.
 *
 * @module
 */
import type { Pool } from 'pg';
import { isWhole, unknownOptions } from '../platform/option-checks.ts';
import { hasSqlState } from '../platform/error-chain.ts';
import { TRANSACTION_ABORTED } from '../platform/postgres.ts';
import { DEFAULT_MAX_PAYLOAD_BYTES } from '../commands/message-validation.ts';
import { ConfigurationError, UnusableTransactionError } from '../core/errors.ts';
import type { SqlClient } from '../core/sql-client.ts';

const KNOWN_OPTIONS = ['pool', 'directUrl', 'commands', 'maxPayloadBytes', 'log', 'logger'];

/** @throws ConfigurationError naming every invalid option of createInbox */
export function checkInboxOptions(options: Record<string, unknown>): void {
  const problems = unknownOptions(options, KNOWN_OPTIONS, 'createInbox');
  const { pool, directUrl, commands, maxPayloadBytes: limit, log } = options;
  if (!isPool(pool)) problems.push('pool must be a pg.Pool');
  else if (hasEnded(pool)) problems.push(`pool ${POOL_ENDED}`);
  if (directUrl !== undefined && directUrl !== null && typeof directUrl !== 'string')
    problems.push('directUrl must be a URL or null');
  if (commands !== undefined && !Array.isArray(commands)) problems.push('commands must be an array');
  if (limit !== undefined && !isWhole(limit, 1, DEFAULT_MAX_PAYLOAD_BYTES)) {
    const range = `a whole number from 1 to ${DEFAULT_MAX_PAYLOAD_BYTES}`;
    problems.push(`maxPayloadBytes (${show(limit)}) must be ${range}`);
  }
  if (log !== undefined && (typeof log !== 'object' || log === null))
    problems.push('log must be an object with debug, info, warn and error');
  if (problems.length > 0) throw new ConfigurationError(`createInbox: ${problems.join('; ')}`);
}

/** JSON cannot represent NaN. */
function show(value: unknown): string {
  return typeof value === 'number' ? String(value) : JSON.stringify(value);
}

const POOL_ENDED = 'was ended; close the inbox before you end its pool';

/** True for a pool, which runs each statement on any of its connections. Only a pool has connection counts. */
export function isPool(value: unknown): value is Pool {
  const { connect, query, totalCount } = (value ?? {}) as Partial<Pool>;
  return typeof connect === 'function' && typeof query === 'function' && typeof totalCount === 'number';
}

export function hasEnded({ ending, ended }: Pool): boolean {
  return ending || ended;
}

/** @throws ConfigurationError if the caller has ended the pool */
export function checkPoolOpen(pool: Pool): void {
  if (hasEnded(pool)) throw new ConfigurationError(`the pool of this inbox ${POOL_ENDED}`);
}

/** The maximum delay of a timer, in ms. A longer one would fire immediately. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** @throws ConfigurationError if the value is not a valid timeout */
export function checkTimeout(timeoutMs: unknown): void {
  if (typeof timeoutMs === 'number' && timeoutMs >= 0 && timeoutMs <= MAX_TIMEOUT_MS) return;
  throw new ConfigurationError(
    `timeoutMs (${show(timeoutMs)}) must be a number of milliseconds from 0 to ${MAX_TIMEOUT_MS}`,
  );
}

/**
 * Checks the options of a call. An option that is ignored could be the transaction that the message should belong to.
 *
 * @throws ConfigurationError naming what is not an option; UnusableTransactionError if `tx` is null
 */
export function checkCallOptions(options: unknown, names: readonly string[]): object {
  if (options === undefined) return {};
  if (typeof options !== 'object' || options === null)
    throw new ConfigurationError(`the options must be an object with ${names.join(', ')}`);
  const unknown = Object.keys(options).find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new ConfigurationError(
      `${unknown} is not an option of this call; the options are ${names.join(', ')}`,
    );
  if ('tx' in options && options.tx === null)
    throw new UnusableTransactionError('tx is null; leave it out to send in a separate transaction');
  return options;
}

/**
 * Runs a send in a transaction of the caller.
 *
 * @throws UnusableTransactionError if `tx` is not a transaction, or an earlier error has aborted it
 */
export async function inCallersTransaction<T>(
  tx: SqlClient,
  send: (tx: SqlClient) => Promise<T>,
): Promise<T> {
  checkClient(tx);
  try {
    return await send(tx);
  } catch (error) {
    if (!hasSqlState(error, TRANSACTION_ABORTED)) throw error;
    throw new UnusableTransactionError(
      'the transaction of tx was aborted by an earlier error; roll it back and send in a new transaction',
      { cause: error },
    );
  }
}

function checkClient(tx: SqlClient): void {
  if (typeof (tx as Partial<SqlClient> | null)?.query !== 'function') {
    throw new UnusableTransactionError(
      'tx must be a client with query(text, values); temporal-inbox/adapters makes one of a transaction of Drizzle, Knex, ' +
        'Kysely, postgres.js, Prisma or TypeORM',
    );
  }
  if (isPool(tx)) {
    throw new UnusableTransactionError(
      'tx is a pool, which may run each statement on another connection; pass the client that began the transaction',
    );
  }
  if (isTypeOrmObject(tx)) {
    throw new UnusableTransactionError(
      'tx is an object of TypeORM, whose query does not answer like that of pg; pass fromTypeOrm(manager), with the manager ' +
        'that dataSource.transaction((manager) => …) gives',
    );
  }
}

/** True for a DataSource, an EntityManager and a QueryRunner. They all have a `query(text, values)`. */
function isTypeOrmObject(tx: object): boolean {
  return '@instanceof' in tx || 'isTransactionActive' in tx;
}
