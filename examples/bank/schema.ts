/**
 * Creates the bank's tables if they do not exist.
 *
 * @module
 */
import { readFile } from 'node:fs/promises';
import type { Pool } from 'pg';
import { sourceFile } from './source-file.ts';

export async function createBankSchema(pool: Pool): Promise<void> {
  // Without parameters, pg sends the whole script at once, and Postgres runs it as one transaction.
  await pool.query(await readFile(sourceFile('schema.sql'), 'utf8'));
}
