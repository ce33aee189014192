/**
 * The roles that the schema's rights are granted to.
 *
 * @module
 */
import type { Queryable } from '../database.ts';

export const ROLES = ['inbox_sender', 'inbox_worker', 'inbox_operator', 'inbox_reader'] as const;

export interface RolesLeft {
  /** Not in this cluster. */
  missing: string[];
  /** In the cluster, and without rights in this database. */
  withoutGrants: string[];
}

export async function findRolesLeft(db: Queryable): Promise<RolesLeft> {
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
