/** The code in docs/adapters.md compiles, and the versions that it names are those that the tests run with. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { packageFile } from '../../../src/platform/package-files.ts';
import { typecheck } from '../../support/typecheck.ts';

const page = await readFile(packageFile('docs/adapters.md'), 'utf8');
const own = (path: string) => fileURLToPath(packageFile(path));

/** What the code of each section takes for granted. */
const SURROUNDINGS: Record<string, string> = {
  'In a handler': 'declare const payload: { id: string };',
  Drizzle: `import type { NodePgDatabase } from 'drizzle-orm/node-postgres';
    import { pgTable, text } from 'drizzle-orm/pg-core';
    const orders = pgTable('orders', { id: text().primaryKey(), sku: text().notNull() });
    const schema = { orders };
    declare const db: NodePgDatabase<typeof schema>;`,
  Knex: `import type { Knex } from 'knex';
    declare const knex: Knex;`,
  Kysely: `interface Tables { orders: { id: string; sku: string } }
    declare const db: import('kysely').Kysely<Tables>;`,
  'postgres.js': `declare const sql: import('postgres').Sql;`,
  Prisma: `type Tx = import('temporal-inbox/adapters').PrismaTransaction & {
      order: { create(input: { data: { id: string; sku: string } }): Promise<unknown> };
    };
    declare const prisma: { $transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> };`,
  TypeORM: `declare const dataSource: import('typeorm').DataSource;
    declare const Order: import('typeorm').EntitySchema<{ id: string; sku: string }>;`,
};

/** A module of the code blocks of a section. Each block is a function. */
function moduleOf(section: string, blocks: readonly string[]): string {
  const lines = blocks.join('\n').split('\n');
  const imports = new Set(lines.filter((line) => line.startsWith('import ')));
  const functions = blocks.map((block, index) => {
    const body = block.split('\n').filter((line) => !line.startsWith('import '));
    return `export async function block${index}() {\n${body.join('\n')}\n}`;
  });
  return [
    ...imports,
    SURROUNDINGS[section],
    `declare const inbox: import('temporal-inbox').Inbox;`,
    `declare const tx: import('temporal-inbox').Transaction;`,
    'declare const id: string, sku: string;',
    `declare const reserveStock: import('temporal-inbox').CommandContract<
       'ReserveStock', import('@standard-schema/spec').StandardSchemaV1<{ sku: string; quantity?: number }>>;`,
    ...functions,
  ].join('\n');
}

describe('docs/adapters.md', () => {
  it('has code that compiles', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'adapters-docs-'));
    await symlink(own('node_modules'), join(folder, 'node_modules'));
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    const files: string[] = [];
    let count = 0;
    for (const section of page.split(/^## /m)) {
      const [title] = section.split('\n');
      const blocks = [...section.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code!);
      if (blocks.length === 0) continue;
      count += blocks.length;
      files.push(join(folder, `section-${files.length}.ts`));
      await writeFile(files.at(-1)!, moduleOf(title!, blocks));
    }
    assert.ok(count >= 10, `${count} blocks`);
    const report = await typecheck(files, {
      'temporal-inbox': [own('src/index.ts')],
      'temporal-inbox/adapters': [own('src/adapters/index.ts')],
    });
    await rm(folder, { recursive: true });
    assert.equal(report, '');
  });

  for (const name of ['drizzle-orm', 'knex', 'kysely', 'pg', 'postgres', 'typeorm']) {
    it(`names the version of ${name}`, async () => {
      const manifest = await readFile(packageFile(`node_modules/${name}/package.json`), 'utf8');
      const { version } = JSON.parse(manifest) as { version: string };
      assert.ok(page.includes(`${name} ${version}`), version);
    });
  }

  it('names the versions of Prisma', async () => {
    const manifest = await readFile(packageFile('test/orm/prisma/package.json'), 'utf8');
    const { dependencies } = JSON.parse(manifest) as { dependencies: Record<string, string> };
    for (const name of ['prisma', '@prisma/adapter-pg'])
      assert.ok(page.includes(`${name} ${dependencies[name]}`), `${name} ${dependencies[name]}`);
  });
});
