/** What compiles with Prisma's own types, and what does not. test/integration/adapters/prisma.test.ts runs the compiler. */
import { PrismaPg } from '@prisma/adapter-pg';
import type { Prisma } from '@prisma/client';
import { PrismaClient } from '@prisma/client';
import { fromPrisma } from '../../../src/adapters/index.ts';
import type { SqlClient } from '../../../src/adapters/index.ts';
import type { Transaction } from '../../../src/commands/define-command.ts';

const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: 'postgres://localhost/app' }) });

export const send = (tx: Prisma.TransactionClient): SqlClient => fromPrisma(tx);

export const sends = prisma.$transaction(async (tx) => {
  fromPrisma(tx);
  // @ts-expect-error -- a PrismaClient is not a transaction
  fromPrisma(prisma);
  // @ts-expect-error -- nor is an extended one
  fromPrisma(prisma.$extends({}));
  await tx.$transaction(async (inner) => fromPrisma(inner));
});

export const extended = prisma.$extends({}).$transaction(async (tx) => fromPrisma(tx));

// Prisma's types accept any client here; it fails when it connects.
export const inHandler = (tx: Transaction) => new PrismaPg(tx.client);
