import type { Command } from 'commander';
import { migrate } from '../migrate.ts';
import { withPool } from './context.ts';
import { print } from './output.ts';

export function addMigrate(program: Command): void {
  program
    .command('migrate')
    .description("bring the database's schema to this version; safe to run twice, and by two at once")
    .action(() => withPool(async (pool) => reportMigrations(await migrate(pool))));
}

export function reportMigrations({ applied, version }: Awaited<ReturnType<typeof migrate>>): void {
  for (const { name } of applied) print(`applied ${name}`);
  print(`the inbox's schema is at version ${version}${applied.length === 0 ? ', nothing to do' : ''}`);
}
