import type { Command } from 'commander';
import { migrate } from '../migrate.ts';
import type { MigrationReport } from '../migrate.ts';
import { withPool } from './context.ts';
import { answer, print } from './output.ts';

export function addMigrate(program: Command): void {
  program
    .command('migrate')
    .description("bring the database's schema to this version; safe to run twice, and by two at once")
    .action(() =>
      withPool(async (pool) => {
        const report = await migrate(pool);
        answer(migrationsAsJson(report), () => reportMigrations(report));
      }),
    );
}

export function migrationsAsJson({ applied, version }: MigrationReport): {
  applied: string[];
  version: number;
} {
  return { applied: applied.map(({ name }) => name), version };
}

export function reportMigrations({ applied, version }: MigrationReport): void {
  for (const { name } of applied) print(`applied ${name}`);
  print(`the inbox's schema is at version ${version}${applied.length === 0 ? ', nothing to do' : ''}`);
}
