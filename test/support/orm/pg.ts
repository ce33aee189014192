/**
 * `pg` itself, with which the libraries are compared.
 *
 * @module
 */
import { Pool } from 'pg';
import type { PoolClient, PoolConfig } from 'pg';
import type { Library, LibraryRow, LibraryTransaction, Settings } from './library.ts';

export const MAX_CONNECTIONS = 4;
export const INSERT = 'insert into orders (id) values ($1)';

/** Unusual: every value is returned as the text that Postgres sends. */
export function pgConfig(url: string, settings: Settings): PoolConfig {
  const asText = { getTypeParser: () => String } as unknown as NonNullable<PoolConfig['types']>;
  return { connectionString: url, max: MAX_CONNECTIONS, ...(settings === 'unusual' && { types: asText }) };
}

async function runInPg(
  client: PoolClient,
  [begin, commit, rollback]: [string, string, string],
  work: (tx: LibraryTransaction) => Promise<void>,
): Promise<void> {
  await client.query(begin);
  try {
    await work({
      client,
      raw: client,
      writeOrder: (id) => client.query(INSERT, [id]),
      nested: (inner) => runInPg(client, ['savepoint s', 'release s', 'rollback to s'], inner),
    });
  } catch (error) {
    await client.query(rollback);
    throw error;
  }
  await client.query(commit);
}

async function openPg(url: string, settings: Settings): Promise<Library> {
  const pool = new Pool(pgConfig(url, settings));
  return {
    async transaction(work) {
      const client = await pool.connect();
      try {
        await runInPg(client, ['begin', 'commit', 'rollback'], work);
      } finally {
        client.release();
      }
    },
    wrongArguments: {},
    notTransactions: { 'a pool': pool },
    end: () => pool.end(),
  };
}

export const pg: LibraryRow = { open: openPg, savepoints: true, afterEnd: null };
