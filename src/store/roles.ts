/**
 * The roles to which the schema grants rights.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';

export const ROLES = ['inbox_sender', 'inbox_worker', 'inbox_operator', 'inbox_reader'] as const;

export interface IncompleteRoles {
  /** Roles that this cluster does not have. */
  missing: string[];
  /** Roles that this cluster has, but without rights in this database. */
  withoutGrants: string[];
}

export async function findIncompleteRoles(db: Queryable): Promise<IncompleteRoles> {
  const { rows } = await db.query<{ name: string; exists: boolean }>(
    `select name, r.oid is not null as exists
     from unnest($1::text[]) with ordinality as wanted (name, place) left join pg_roles r on r.rolname = name
     where r.oid is null or not has_schema_privilege(r.oid, 'inbox', 'usage')
     order by place`,
    [ROLES],
  );
  const names = (exists: boolean) => rows.filter((row) => row.exists === exists).map(({ name }) => name);
  return { missing: names(false), withoutGrants: names(true) };
}

/** Returns whether the table exists and this login may read it. */
export async function canRead(db: Queryable, table: string): Promise<boolean> {
  const { rowCount } = await db.query(
    `select from pg_class where oid = to_regclass($1) and has_table_privilege(oid, 'select')`,
    [table],
  );
  return rowCount === 1;
}

/**
 * Returns the logins in `inbox.sender_limits` that do not exist, so their limits have no effect. Empty if this login may not
 * read the table.
 */
export async function findUnknownLogins(db: Queryable): Promise<string[]> {
  if (!(await canRead(db, 'inbox.sender_limits'))) return [];
  const { rows } = await db.query<{ login: string }>(
    `select login from inbox.sender_limits
     where not exists (select from pg_roles where rolname = login) order by login`,
  );
  return rows.map(({ login }) => login);
}
