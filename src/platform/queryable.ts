/**
 * What the statements in `src/store` need of a connection.
 *
 * @module
 */
import type { Pool } from 'pg';

/** Anything that runs a statement: a pool, a client, or a client inside a transaction. */
export type Queryable = Pick<Pool, 'query'>;
