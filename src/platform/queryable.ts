/**
 * The part of a connection that the statements in `src/store` use.
 *
 * @module
 */
import type { Pool } from 'pg';

/** Anything that runs a statement: a pool, a client, or a client in a transaction. */
export type Queryable = Pick<Pool, 'query'>;
