/**
 * The migration files of this package.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { SchemaError } from '../core/errors.ts';
import { packageFile } from '../platform/package-files.ts';

export interface Migration {
  version: number;
  name: string;
  /** With LF line endings and without a byte order mark, whatever the file has. */
  sql: string;
  /** SHA-256 of {@link sql} in hex, so it is the same for a checkout with CRLF. */
  checksum: string;
  /**
   * True if releases that do not know this migration stop working once it is applied. Such releases refuse to start on a
   * schema with this migration, but start on all other newer schemas.
   */
  breaking: boolean;
}

/** Migrations up to this one were released before migrations had to declare whether they are breaking. */
const LAST_UNDECLARED = 12;
const DECLARATION = /^-- breaking: (true|false)$/m;
const BYTE_ORDER_MARK = '\uFEFF';

/**
 * Reads the migrations in a folder, in the order of their versions.
 *
 * @throws SchemaError when the numbers have a gap, or a migration does not declare whether it is breaking
 */
export async function readMigrations(folder: URL = packageFile('migrations/')): Promise<Migration[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.sql')).sort();
  return Promise.all(
    files.map(async (file, index) => {
      const version = Number(/^(\d{4})_/.exec(file)?.[1]);
      if (version !== index + 1)
        throw new SchemaError(`${file}: migrations must be numbered 0001, 0002, … without a gap`);
      return parseMigration(version, file, await readFile(new URL(file, folder), 'utf8'));
    }),
  );
}

/**
 * Parses the text of a migration file.
 *
 * @throws SchemaError when it does not declare whether it is breaking
 */
export function parseMigration(version: number, name: string, text: string): Migration {
  const sql = normalize(text);
  return { version, name, sql, checksum: sha256(sql), breaking: readDeclaration(version, name, sql) };
}

/**
 * Returns whether a recorded checksum belongs to this migration. Earlier releases recorded the checksum of the file's
 * bytes, so a checkout with CRLF, or an editor that adds a byte order mark, led to a different checksum for the same
 * statements.
 */
export function hasChecksum({ sql, checksum }: Migration, recorded: string): boolean {
  if (recorded === checksum) return true;
  const withCarriageReturns = sql.replaceAll('\n', '\r\n');
  return [withCarriageReturns, BYTE_ORDER_MARK + sql, BYTE_ORDER_MARK + withCarriageReturns].some(
    (variant) => sha256(variant) === recorded,
  );
}

/**
 * Returns the SQL to run. Leaves out the statement that creates the schema if it does not exist: the schema exists by
 * now, and even then that statement needs the right to create schemas.
 */
export function statementsOf({ sql }: Migration): string {
  return sql.replace(/^create schema if not exists inbox;$/m, '');
}

function readDeclaration(version: number, name: string, sql: string): boolean {
  const declared = DECLARATION.exec(sql)?.[1];
  if (declared !== undefined) return declared === 'true';
  if (version <= LAST_UNDECLARED) return true;
  throw new SchemaError(
    `${name}: add the line \`-- breaking: false\`, or \`-- breaking: true\` if workers of earlier releases cannot work ` +
      'with the schema after this migration',
  );
}

function normalize(text: string): string {
  const withoutMark = text.startsWith(BYTE_ORDER_MARK) ? text.slice(BYTE_ORDER_MARK.length) : text;
  return withoutMark.replaceAll('\r\n', '\n');
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
