/**
 * The package of Temporal's native worker. It is an optional peer dependency, so that senders need not install it.
 *
 * @module
 */
import { ConfigurationError } from '../../core/errors.ts';

const PACKAGE = '@temporalio/worker';

/**
 * Loads a module that needs the package.
 *
 * @throws ConfigurationError with the command that installs the package, if it is missing
 */
export async function withWorkerPackage<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: unknown };
    if (code !== 'ERR_MODULE_NOT_FOUND' || !String(message).includes(`'${PACKAGE}'`)) throw error;
    throw new ConfigurationError(
      `a worker needs the package ${PACKAGE}, which is installed separately because senders do not need it: ` +
        `npm install ${PACKAGE}`,
      { cause: error },
    );
  }
}
