/**
 * Adapters for the option `tx` of `inbox.send`: each turns another library's transaction into a client, so that the message is
 * committed or rolled back with that transaction. They depend on none of these libraries, not even for their types.
 *
 * @module temporal-inbox/adapters
 */
export type { SqlClient } from '../core/sql-client.ts';
export { fromDrizzle } from './drizzle.ts';
export type { DrizzleTransaction } from './drizzle.ts';
export { fromKnex } from './knex.ts';
export type { KnexTransaction } from './knex.ts';
export { fromKysely } from './kysely.ts';
export type { KyselyQuery, KyselyTransaction } from './kysely.ts';
export { fromPostgresJs } from './postgres-js.ts';
export type { PostgresJsTransaction } from './postgres-js.ts';
export { fromPrisma } from './prisma.ts';
export type { PrismaTransaction } from './prisma.ts';
export { fromTypeOrm } from './typeorm.ts';
export type { TypeOrmEntityManager, TypeOrmQueryRunner } from './typeorm.ts';
