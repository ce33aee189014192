/**
 * The adapters accept the transactions of the libraries' own types, and refuse their other objects when the code is compiled.
 * The compiler tests this: nothing here is called. test/orm/prisma/types.ts does the same for Prisma.
 */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import type { NodePgDatabase, NodePgTransaction } from 'drizzle-orm/node-postgres';
import type { ExtractTablesWithRelations } from 'drizzle-orm';
import { drizzle as drizzleOnPg } from 'drizzle-orm/node-postgres';
import { pgTable, text as textColumn } from 'drizzle-orm/pg-core';
import type { PgTransaction } from 'drizzle-orm/pg-core';
import type { PostgresJsDatabase, PostgresJsQueryResultHKT } from 'drizzle-orm/postgres-js';
import { expectTypeOf } from 'expect-type';
import type { Knex } from 'knex';
import type { ControlledTransaction, Kysely, Transaction } from 'kysely';
import type { Client, PoolClient } from 'pg';
import type { ReservedSql, Sql, TransactionSql } from 'postgres';
import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import * as adapters from '../../../src/adapters/index.ts';
import type { SqlClient } from '../../../src/adapters/index.ts';
import type { Transaction as HandlerTransaction } from '../../../src/commands/define-command.ts';
import { packageFile } from '../../../src/platform/package-files.ts';
import type { SendOptions } from '../../../src/sending/inbox-types.ts';

const { fromDrizzle, fromKnex, fromKysely, fromPostgresJs, fromTypeOrm } = adapters;

interface Tables {
  orders: { id: string };
}
const schema = { orders: pgTable('orders', { id: textColumn().primaryKey() }) };

export function kysely(
  trx: Transaction<Tables>,
  controlled: ControlledTransaction<Tables>,
  db: Kysely<Tables>,
) {
  expectTypeOf(fromKysely(trx)).toEqualTypeOf<SqlClient>();
  fromKysely(controlled);
  fromKysely(trx.withSchema('app'));
  // @ts-expect-error -- a Kysely instance is not a transaction
  fromKysely(db);
  // @ts-expect-error -- nor is it a client
  void ({ tx: trx } satisfies SendOptions);
}

export function drizzle(
  tx: NodePgTransaction<typeof schema, ExtractTablesWithRelations<typeof schema>>,
  onPostgresJs: PgTransaction<PostgresJsQueryResultHKT>,
  db: NodePgDatabase<typeof schema>,
  dbOnPostgresJs: PostgresJsDatabase,
) {
  fromDrizzle(tx);
  fromDrizzle(onPostgresJs);
  void db.transaction(async (inner) => fromDrizzle(inner));
  void dbOnPostgresJs.transaction(async (inner) => fromDrizzle(inner));
  // @ts-expect-error -- a database object is not a transaction
  fromDrizzle(db);
  // @ts-expect-error -- on postgres.js neither
  fromDrizzle(dbOnPostgresJs);
}

export function knex(trx: Knex.Transaction, instance: Knex) {
  fromKnex(trx);
  void instance.transaction(async (inner) => fromKnex(inner));
  // @ts-expect-error -- a Knex instance is not a transaction
  fromKnex(instance);
}

export function postgresJs(
  sql: TransactionSql,
  pool: Sql,
  reserved: ReservedSql,
  typed: TransactionSql<{ big: bigint }>,
) {
  fromPostgresJs(sql);
  fromPostgresJs(typed);
  void pool.begin((inner) => fromPostgresJs(inner));
  // @ts-expect-error -- the sql of a pool is not a transaction
  fromPostgresJs(pool);
  // @ts-expect-error -- a reserved connection is none either
  fromPostgresJs(reserved);
}

export function typeOrm(manager: EntityManager, queryRunner: QueryRunner, dataSource: DataSource) {
  // The types do not say whether a transaction is active.
  fromTypeOrm(manager);
  fromTypeOrm(queryRunner);
  // @ts-expect-error -- a DataSource is not a transaction
  fromTypeOrm(dataSource);
}

/** Clients of `pg`, and recipes for handlers without casts. */
export function pg(client: Client, pooled: PoolClient, tx: HandlerTransaction) {
  void ([{ tx: client }, { tx: pooled }, { tx }, { tx: tx.client }] satisfies SendOptions[]);
  void drizzleOnPg(tx.client, { schema }).query.orders;
  expectTypeOf(tx.client).toEqualTypeOf<PoolClient>();
}

describe('the adapters', () => {
  it('are one for each library', () => {
    const names = ['fromDrizzle', 'fromKnex', 'fromKysely', 'fromPostgresJs', 'fromPrisma', 'fromTypeOrm'];
    assert.deepEqual(Object.keys(adapters).sort(), names);
  });

  it('have declarations that import no package', async () => {
    const files = await readdir(packageFile('dist/src/adapters/'));
    const declarations = files.filter((name) => name.endsWith('.d.ts')).map((name) => `adapters/${name}`);
    const checked = [...declarations, 'core/sql-client.d.ts'];
    assert.ok(checked.length >= 8);
    for (const name of checked) {
      const text = await readFile(packageFile(`dist/src/${name}`), 'utf8');
      const imported = [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].map(([, path]) => path!);
      for (const path of imported)
        assert.match(path, /^\.\/[\w-]+\.ts$|^\.\.\/core\/sql-client\.ts$/, `${name} imports ${path}`);
    }
  });
});
