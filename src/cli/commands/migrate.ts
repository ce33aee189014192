import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { migrate } from '../../store/migrate.ts';
import type { MigrationReport } from '../../store/migrate.ts';
import { toMilliseconds } from '../../core/duration.ts';
import { withAnySchema } from '../shared/context.ts';
import { answer, print } from '../shared/output.ts';

export interface MigrateCliOptions {
  /** In ms. */
  wait?: number;
}

export function addMigrate(program: Command): void {
  addWait(
    program
      .command('migrate')
      .description('Migrate the database schema to this version; safe to repeat and to run concurrently'),
  ).action(({ wait }: MigrateCliOptions) =>
    withAnySchema(async (pool) => {
      const report = await migrate(pool, undefined, waitOption(wait));
      answer(migrationsAsJson(report), () => reportMigrations(report));
    }),
  );
}

/** Adds the option that `migrate` and `setup` share. */
export function addWait(command: Command): Command {
  return command.option(
    '--wait <time>',
    'How long each migration retries while other sessions hold locks, such as 30s or 10m (default: 2m)',
    parseWait,
  );
}

export function waitOption(wait: number | undefined): { waitMs?: number } {
  return wait === undefined ? {} : { waitMs: wait };
}

export function migrationsAsJson({ applied, version, newer }: MigrationReport): {
  applied: string[];
  version: number;
  newer: string[];
} {
  return { applied: applied.map(({ name }) => name), version, newer: newer.map(({ name }) => name) };
}

export function reportMigrations({ applied, version, newer }: MigrationReport): void {
  for (const { name } of applied) print(`applied ${name}`);
  const nothing = applied.length === 0 ? ', nothing to do' : '';
  const ahead = newer.length === 0 ? '' : ', newer than this package and compatible with it';
  print(`the inbox's schema is at version ${version}${ahead}${nothing}`);
}

function parseWait(text: string): number {
  const ms = toMilliseconds(text);
  if (ms === null || ms < 0) throw new InvalidArgumentError('Give a duration such as 30s or 10m.');
  return ms;
}
