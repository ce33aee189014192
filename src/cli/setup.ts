import type { Command } from 'commander';
import { migrate } from '../migrate.ts';
import { registerSearchAttributes } from '../search-attributes.ts';
import { connectTemporal, withPool } from './context.ts';
import { reportMigrations } from './migrate.ts';
import { print } from './output.ts';

export function addSetup(program: Command): void {
  program
    .command('setup')
    .description('migrate the database, and register the search attributes with Temporal')
    .action(async () => {
      await withPool(async (pool) => reportMigrations(await migrate(pool)));
      const { connection, namespace } = await connectTemporal();
      try {
        const registered = await registerSearchAttributes(connection, namespace);
        const what =
          registered.length === 0
            ? 'are all registered, nothing to do'
            : `registered: ${registered.join(', ')}`;
        print(`search attributes in namespace ${namespace} ${what}`);
      } finally {
        await connection.close();
      }
    });
}
