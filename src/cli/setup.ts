import type { Command } from 'commander';
import { checkRoles } from '../health-roles.ts';
import { migrate } from '../migrate.ts';
import { messageOf } from '../error-message.ts';
import { InboxError } from '../errors.ts';
import { describeProblems, registerSearchAttributes } from '../search-attributes.ts';
import type { Registration } from '../search-attributes.ts';
import { isDenied } from '../workflow-description.ts';
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
      const registration = await registerSearchAttributes(connection, namespace).catch((error: unknown) => {
        throw notRegistered(namespace, messageOf(error), isDenied(error) ? DENIED : null);
      });
      report(registration, namespace);
    } finally {
      await connection.close();
    }
  });
}

const DENIED =
  'this login may not list or register search attributes, or the server does not offer it: let an administrator register ' +
  'InboxStatus, CommandType, CorrelationId and FailureGroup as Keyword (on Temporal Cloud with the namespace editor or tcld)';

/** @throws InboxError when not all of them can be used */
function report(registration: Registration, namespace: string): void {
  const { registered, error } = registration;
  if (registered.length > 0)
    print(`search attributes in namespace ${namespace} registered: ${registered.join(', ')}`);
  const found = describeProblems(registration, namespace);
  if (!found) {
    if (registered.length === 0)
      print(`search attributes in namespace ${namespace} are all registered, nothing to do`);
    return;
  }
  if (error === null) throw notRegistered(namespace, found.problem, found.remedy);
  throw notRegistered(
    namespace,
    `${found.problem} (${messageOf(error)})`,
    isDenied(error) ? DENIED : found.remedy,
  );
}

function notRegistered(namespace: string, problem: string, remedy: string | null): InboxError {
  const what = `not all search attributes can be used in namespace ${namespace}: ${problem}`;
  const work = 'Commands run without them, but cannot be found by them';
  return new InboxError(`${what}${remedy === null ? '' : `; ${remedy}`}. ${work}`);
}
