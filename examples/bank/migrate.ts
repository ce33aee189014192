/**
 * Creates the bank's own tables in the database of DATABASE_URL, for deployments without the demo.
 *
 * @module
 */
import { createBankPool } from './postgres.ts';
import { createBankSchema } from './schema.ts';

const pool = createBankPool('bank migrate', 1);
try {
  await createBankSchema(pool);
} finally {
  await pool.end();
}
