import type { Command } from 'commander';
import { checkRoles } from '../health-roles.ts';
import { migrate } from '../migrate.ts';
import { registerSearchAttributes } from '../search-attributes.ts';
import { connectTemporal, withAnySchema } from './context.ts';
import { addWait, reportMigrations, waitOption } from './migrate.ts';
import type { MigrateCliOptions } from './migrate.ts';
import { note, print } from './output.ts';

export function addSetup(program: Command): void {
  addWait(
    program
      .command('setup')
      .description(
        'migrate the database, look for its roles, and register the search attributes with Temporal',
      ),
  ).action(async ({ wait }: MigrateCliOptions) => {
    await withAnySchema(async (pool) => {
      reportMigrations(await migrate(pool, undefined, waitOption(wait)));
      const roles = await checkRoles(pool);
      // Everything works without them, as the owner: so it is no failure of the setup.
      if (roles.whatToDo === null) print(`roles: ${roles.finding}`);
      else note(`roles ${roles.finding}; ${roles.whatToDo}`);
    });
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
