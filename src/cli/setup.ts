import type { Command } from 'commander';
import { checkRoles } from '../health-roles.ts';
import { migrate } from '../migrate.ts';
import { registerSearchAttributes } from '../search-attributes.ts';
import { connectTemporal, withAnySchema } from './context.ts';
import { addWait, migrationsAsJson, reportMigrations, waitOption } from './migrate.ts';
import type { MigrateCliOptions } from './migrate.ts';
import { answer, isJson, note, print } from './output.ts';

export function addSetup(program: Command): void {
  addWait(
    program
      .command('setup')
      .description(
        'migrate the database, look for its roles, and register the search attributes with Temporal',
      ),
  ).action(async ({ wait }: MigrateCliOptions) => {
    const { migrations, roles } = await withAnySchema(async (pool) => {
      const report = await migrate(pool, undefined, waitOption(wait));
      if (!isJson()) reportMigrations(report);
      const verdict = await checkRoles(pool);
      // Everything works without them, as the owner: so it is no failure of the setup.
      if (verdict.whatToDo !== null) note(`roles ${verdict.finding}; ${verdict.whatToDo}`);
      else if (!isJson()) print(`roles: ${verdict.finding}`);
      return { migrations: migrationsAsJson(report), roles: verdict };
    });
    const { connection, namespace } = await connectTemporal();
    try {
      const registered = await registerSearchAttributes(connection, namespace);
      const what =
        registered.length === 0
          ? 'are all registered, nothing to do'
          : `registered: ${registered.join(', ')}`;
      answer({ migrations, roles, searchAttributes: { namespace, registered } }, () =>
        print(`search attributes in namespace ${namespace} ${what}`),
      );
    } finally {
      await connection.close();
    }
  });
}
