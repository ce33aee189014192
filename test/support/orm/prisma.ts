/**
 * Prisma, as the tests of the adapters use it. It is loaded from the folder that {@link findPrisma} returns.
 *
 * @module
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fromPrisma } from '../../../src/adapters/index.ts';
import type { PrismaTransaction } from '../../../src/adapters/index.ts';
import { ENDED, upperCased } from './library.ts';
import type { Library, LibraryRow, LibraryTransaction } from './library.ts';

/** The parts of Prisma's own classes that the tests need. `test/orm/prisma/types.ts` compiles with the real types. */
interface PrismaModules {
  PrismaClient: new (options: { adapter: object }) => PrismaClient;
  PrismaPg: new (poolOrConfig: object) => object;
}
interface PrismaTx extends PrismaTransaction {
  $transaction<T>(work: (tx: PrismaTx) => Promise<T>): Promise<T>;
  order: { create(input: { data: { id: string } }): Promise<unknown> };
}
interface PrismaClient extends Omit<PrismaTx, '$connect'> {
  $connect(): Promise<void>;
  $disconnect(): Promise<void>;
  $extends(extension: object): PrismaClient;
}

/** @param folder - where Prisma is installed */
export function loadPrisma(folder: string): PrismaModules {
  const require = createRequire(join(folder, 'package.json'));
  const { PrismaClient } = require('@prisma/client') as Pick<PrismaModules, 'PrismaClient'>;
  const { PrismaPg } = require('@prisma/adapter-pg') as Pick<PrismaModules, 'PrismaPg'>;
  return { PrismaClient, PrismaPg };
}

export function prismaRow(folder: string): LibraryRow {
  return {
    savepoints: true,
    afterEnd: ENDED,
    async open(url, settings) {
      const { PrismaClient, PrismaPg } = loadPrisma(folder);
      const plain = new PrismaClient({ adapter: new PrismaPg({ connectionString: url, max: 4 }) });
      const prisma = settings === 'usual' ? plain : plain.$extends(upperCasingRawResults);
      const wrap = (tx: PrismaTx): LibraryTransaction => ({
        client: fromPrisma(tx),
        raw: tx,
        writeOrder: (id) => tx.order.create({ data: { id } }),
        nested: (work) => tx.$transaction((inner) => work(wrap(inner))),
      });
      const library: Library = {
        transaction: (work) => prisma.$transaction((tx) => work(wrap(tx))),
        wrongArguments: {
          'a PrismaClient': () => fromPrisma(prisma as never),
          'an extended PrismaClient': () => fromPrisma(prisma.$extends({}) as never),
          nothing: () => fromPrisma(undefined as never),
        },
        notTransactions: { 'a PrismaClient': prisma },
        end: () => plain.$disconnect(),
      };
      return library;
    },
  };
}

/** An extension that changes the column names of raw results. */
const upperCasingRawResults = {
  query: {
    async $queryRawUnsafe({ args, query }: { args: unknown; query: (args: unknown) => Promise<object[]> }) {
      return (await query(args)).map(upperCased);
    },
  },
};
