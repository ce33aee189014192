/**
 * Reads Postgres URLs from the environment.
 *
 * @module
 */
import { ConfigurationError } from '../core/errors.ts';
import { readVariables } from './environment.ts';
import type { Environment } from './environment.ts';

/** @throws ConfigurationError saying what to set; it never contains the URL, which may include a password */
export function readDatabaseUrl(env: Environment = process.env): string {
  const url = readUrl(env, 'DATABASE_URL');
  if (url === null) {
    throw new ConfigurationError(
      'DATABASE_URL is not set: set it to the Postgres database that contains the inbox, such as ' +
        'postgres://user:password@host:5432/database, or run `inbox dev` to use an embedded one',
    );
  }
  return url;
}

/**
 * Reads INBOX_DIRECT_URL, which reaches the same database without a transaction-mode pooler, for LISTEN. Null if it is empty
 * or not set.
 *
 * @throws ConfigurationError if it is not a valid postgres:// URL; it never contains the URL, which may include a password
 */
export function readDirectUrl(env: Environment = process.env): string | null {
  return readUrl(env, 'INBOX_DIRECT_URL');
}

function readUrl(env: Environment, name: string): string | null {
  const url = readVariables({ [name]: env[name] }, /./)[name];
  if (url === undefined) return null;
  if (!/^postgres(ql)?:\/\//.test(url)) throw new ConfigurationError(`${name} is not a postgres:// URL`);
  if (isMisread(url)) {
    throw new ConfigurationError(
      `${name} has a user or password with a reserved character: write %2F for /, %3F for ?, %23 for #`,
    );
  }
  return url;
}

/** `postgres://user:12/34@host/db`: parts of the password would be parsed as port and database, which messages repeat. */
function isMisread(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { username, pathname, search, hash } = new URL(text);
  return username === '' && (`${pathname}${hash}`.includes('@') || /^\?[^=]*@/.test(search));
}
