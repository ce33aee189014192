import type { Command } from 'commander';
import { checkRoles } from '../../health/roles.ts';
import { migrate } from '../../store/migrate.ts';
import { messageOf } from '../../platform/error-message.ts';
import { InboxError } from '../../core/errors.ts';
import { describeProblems, registerSearchAttributes } from '../../temporal/search-attributes.ts';
import type { Registration } from '../../temporal/search-attributes.ts';
import { isDenied } from '../../temporal/workflow-description.ts';
import { connectTemporal, withAnySchema } from '../shared/context.ts';
import { addWait, migrationsAsJson, reportMigrations, waitOption } from './migrate.ts';
import type { MigrateCliOptions } from './migrate.ts';
import { answer, isJson, note, print } from '../shared/output.ts';

export function addSetup(program: Command): void {
  addWait(
    program
      .command('setup')
      .description('Migrate the database, check its roles, and register the search attributes with Temporal'),
  ).action(async ({ wait }: MigrateCliOptions) => {
    const { migrations, roles } = await withAnySchema(async (pool) => {
      const report = await migrate(pool, undefined, waitOption(wait));
      if (!isJson()) reportMigrations(report);
      const verdict = await checkRoles(pool);
      // The owner of the schema can do everything without the roles, so missing roles don't fail the setup.
      if (verdict.remedy !== null) note(`roles ${verdict.finding}; ${verdict.remedy}`);
      else if (!isJson()) print(`roles: ${verdict.finding}`);
      return { migrations: migrationsAsJson(report), roles: verdict };
    });
    const { connection, namespace } = await connectTemporal();
    try {
      const registration = await registerSearchAttributes(connection, namespace).catch((error: unknown) => {
        throw notRegistered(namespace, messageOf(error), isDenied(error) ? DENIED : null);
      });
      const problem = problemOf(registration, namespace);
      if (problem !== null) throw problem;
      const { registered } = registration;
      answer({ migrations, roles, searchAttributes: { namespace, registered } }, () =>
        print(
          `search attributes in namespace ${namespace} ` +
            (registered.length === 0
              ? 'are all registered, nothing to do'
              : `registered: ${registered.join(', ')}`),
        ),
      );
    } finally {
      await connection.close();
    }
  });
}

const DENIED =
  'this login is not allowed to list or register search attributes, or the server does not support it: ask an administrator ' +
  'to register InboxStatus, CommandType, CorrelationId and FailureGroup as Keyword (on Temporal Cloud with the namespace ' +
  'editor or tcld)';

/** Explains why some search attributes cannot be used. Null when all can. */
function problemOf(registration: Registration, namespace: string): InboxError | null {
  const { registered, error } = registration;
  const found = describeProblems(registration, namespace);
  if (!found) return null;
  if (registered.length > 0)
    note(`search attributes in namespace ${namespace} registered: ${registered.join(', ')}`);
  if (error === null) return notRegistered(namespace, found.problem, found.remedy);
  return notRegistered(
    namespace,
    `${found.problem} (${messageOf(error)})`,
    isDenied(error) ? DENIED : found.remedy,
  );
}

function notRegistered(namespace: string, problem: string, remedy: string | null): InboxError {
  const what = `some search attributes cannot be used in namespace ${namespace}: ${problem}`;
  const consequence = 'Commands still run, but you cannot search for them by these attributes';
  return new InboxError(`${what}${remedy === null ? '' : `; ${remedy}`}. ${consequence}`);
}
