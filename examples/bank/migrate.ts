/**
 * Creates the bank's own tables in the database of DATABASE_URL, for deployments without the demo.
 *
 * @module
 */
import { readDatabaseUrl } from '../../src/platform/postgres-url.ts';
import { createPool } from '../../src/platform/postgres.ts';
import { createBankSchema } from './schema.ts';

const pool = createPool({ connectionString: readDatabaseUrl(), max: 1, applicationName: 'bank migrate' });
try {
  await createBankSchema(pool);
} finally {
  await pool.end();
}
