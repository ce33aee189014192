/**
 * The migrations of this package, as files.
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
  /** With LF at the end of each line and without a byte order mark, whatever the file has. */
  sql: string;
  /** SHA-256 of {@link sql}, hex: the same for a checkout with CRLF. */
  checksum: string;
  /**
   * Whether releases that do not know this migration stop working once it is applied. They refuse to start on a schema with
   * such a migration, and start on all other newer schemas.
   */
  breaking: boolean;
}

/** The migrations up to this one were released before migrations declared whether they are breaking. */
const LAST_UNDECLARED = 12;
const DECLARATION = /^-- breaking: (true|false)$/m;
const BYTE_ORDER_MARK = '\uFEFF';

/**
 * The migrations in a folder, by version.
 *
 * @throws SchemaError when the numbers have a gap, or a migration does not declare whether it is breaking
 */
export async function readMigrations(folder: URL = packageFile('migrations/')): Promise<Migration[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.sql')).sort();
  return Promise.all(
    files.map(async (file, index) => {
      const version = Number(/^(\d{4})_/.exec(file)?.[1]);
      if (version !== index + 1)
        throw new SchemaError(`${file}: migrations are numbered 0001, 0002, … without a gap`);
      return parseMigration(version, file, await readFile(new URL(file, folder), 'utf8'));
    }),
  );
}

/**
 * A migration from the text of its file.
 *
 * @throws SchemaError when it does not declare whether it is breaking
 */
export function parseMigration(version: number, name: string, text: string): Migration {
  const sql = normalize(text);
  return { version, name, sql, checksum: sha256(sql), breaking: readDeclaration(version, name, sql) };
}

/**
 * Whether a recorded checksum is that of this migration. Earlier releases recorded the checksum of the file's bytes, so a
 * checkout with CRLF, or an editor that adds a byte order mark, left another checksum for the same statements.
 */
export function hasChecksum({ sql, checksum }: Migration, recorded: string): boolean {
  if (recorded === checksum) return true;
  const withCarriageReturns = sql.replaceAll('\n', '\r\n');
  return [withCarriageReturns, BYTE_ORDER_MARK + sql, BYTE_ORDER_MARK + withCarriageReturns].some(
    (variant) => sha256(variant) === recorded,
  );
}

/**
 * What to run of a migration. The schema is there already, and the statement in the first migration that creates it if it
 * isn't needs the right to create schemas all the same.
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
