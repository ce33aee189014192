/**
 * The bank's own tables, in the database that DATABASE_URL names: for deployments, where the demo does not make them.
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
