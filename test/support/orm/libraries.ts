/**
 * The libraries that are installed with the package's other development dependencies. Prisma is in `prisma.ts`.
 *
 * @module
 */
import { drizzleOnNodePostgres, drizzleOnPostgres } from './drizzle.ts';
import { knex } from './knex.ts';
import { kysely, kyselyWithSavepoints } from './kysely.ts';
import type { LibraryRow } from './library.ts';
import { pg } from './pg.ts';
import { postgresJs } from './postgres-js.ts';
import { typeOrmManager, typeOrmQueryRunner } from './typeorm.ts';

export const LIBRARIES: Record<string, LibraryRow> = {
  'pg itself': pg,
  Kysely: kysely,
  'Kysely with savepoints': kyselyWithSavepoints,
  'Drizzle on node-postgres': drizzleOnNodePostgres,
  'Drizzle on postgres.js': drizzleOnPostgres,
  'postgres.js': postgresJs,
  Knex: knex,
  'TypeORM, with an entity manager': typeOrmManager,
  'TypeORM, with a query runner': typeOrmQueryRunner,
};
