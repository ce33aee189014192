/**
 * Prisma: sending in its transactions, and what happens if a handler tries to use it. Its packages are installed when this
 * file runs for the first time.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { packageFile } from '../../../src/platform/package-files.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { findPrisma } from '../../support/orm/prisma-package.ts';
import { loadPrisma, prismaRow } from '../../support/orm/prisma.ts';
import { describeSending } from '../../support/orm/sending-suite.ts';
import { typecheck } from '../../support/typecheck.ts';

const { folder, missing } = await findPrisma();

if (folder === null) {
  // CI has a network, and must not skip these tests.
  const skip = process.env['CI'] ? false : missing;
  it('Prisma is installed', { skip }, () => assert.fail(missing));
} else {
  describeSending('Prisma', prismaRow(folder));

  describe('Prisma', () => {
    it('has types that the adapter fits', async () => {
      const modules = join(folder, 'node_modules');
      const report = await typecheck([fileURLToPath(packageFile('test/orm/prisma/types.ts'))], {
        '@prisma/client': [join(modules, '@prisma/client/default.d.ts')],
        '@prisma/adapter-pg': [join(modules, '@prisma/adapter-pg/dist/index.d.ts')],
      });
      assert.equal(report, '');
    });
  });

  describe('Prisma in a handler', () => {
    let inbox: TestInbox;
    const { PrismaClient, PrismaPg } = loadPrisma(folder);
    const usesPrisma = defineCommand({
      type: 'UsesPrisma',
      schema: z.object({}),
      retry: { maximumAttempts: 1 },
      async handle({ tx }) {
        const prisma = new PrismaClient({ adapter: new PrismaPg(tx.client) });
        await prisma.order.create({ data: { id: 'lost' } });
      },
    });
    before(async () => {
      inbox = await createTestInbox();
      await inbox.pool.query('create table public.orders (id text primary key)');
      await inbox.startWorker([usesPrisma]);
    });
    after(() => inbox.close());

    it('fails with an error that says why, and opens no connection of its own', async () => {
      const messageId = inbox.id('prisma');
      await inbox.start(messageId, { commandType: 'UsesPrisma', payload: {} });
      const { error } = await inbox.reaches(messageId, 'DeadLetter');
      assert.match(error!, /Prisma, TypeORM and postgres\.js open their own connections/);
      assert.deepEqual(await rows(inbox.pool, 'select from orders'), []);
    });
  });
}
