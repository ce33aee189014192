/**
 * Logins for tests. Roles belong to the whole cluster, so each login has a unique name and its test must drop it.
 *
 * @module
 */
import { randomBytes } from 'node:crypto';
import { Pool } from 'pg';
import type { TestDatabase } from './database.ts';

export interface TestLogin {
  name: string;
  url: string;
  pool: Pool;
  drop(): Promise<void>;
}

/** Creates a login that has the privileges of this role and no others. */
export async function createLogin({ pool, url }: TestDatabase, role: string): Promise<TestLogin> {
  const suffix = randomBytes(4).toString('hex');
  const name = `${role}_${suffix}`;
  await pool.query(`create role ${name} login password '${suffix}'; grant ${role} to ${name}`);
  const own = new URL(url);
  own.username = name;
  own.password = suffix;
  const logins = new Pool({ connectionString: own.href, max: 3 });
  logins.on('error', () => {});
  return {
    name,
    url: own.href,
    pool: logins,
    async drop() {
      await logins.end();
      await pool.query(`drop owned by ${name}; drop role ${name}`);
    },
  };
}
