/**
 * Checks the database roles, for `inbox doctor` and `inbox setup`.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { Verdict } from './finding.ts';
import { unhealthy, healthy } from './finding.ts';
import { findIncompleteRoles, findUnknownLogins } from '../store/roles.ts';

/** The most logins that the finding names. */
const MAX_NAMED = 5;

/** Roles or grants are missing if the user who migrated may not create roles, or the database came from another server. */
export async function checkRoles(db: Queryable): Promise<Verdict> {
  const { missing, withoutGrants } = await findIncompleteRoles(db);
  const found = [
    ...(missing.length > 0 ? [`missing: ${missing.join(', ')}`] : []),
    ...(withoutGrants.length > 0 ? [`without rights in this database: ${withoutGrants.join(', ')}`] : []),
  ];
  if (found.length === 0) return checkLimits(db);
  const create = missing.map((name) => `create role ${name} nologin;`).join(' ');
  const asCreator = create && `as a user who may create roles: ${create} then, `;
  return unhealthy(
    found.join('; '),
    `${asCreator}as the owner of the schema inbox: select inbox.grant_roles();`,
  );
}

async function checkLimits(db: Queryable): Promise<Verdict> {
  const unknown = await findUnknownLogins(db);
  if (unknown.length === 0) return healthy('sender, worker, operator and reader exist');
  return unhealthy(
    `inbox.sender_limits limits logins that do not exist: ${unknown.slice(0, MAX_NAMED).join(', ')}`,
    'correct their names there, or delete the rows: a login whose name is misspelled there has no limit',
  );
}
