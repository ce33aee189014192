/**
 * Loads the publisher that `--publish` names: NATS by its URL, or a user's module.
 *
 * @module
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ConfigurationError } from '../../core/errors.ts';
import type { Publish, Publisher } from '../../core/published-event.ts';

/** Matches `scheme:` or `user:password@`. A single letter before the colon is a Windows drive. */
const SERVER = /^[a-z][a-z\d+.-]+:|:[^/]*@/i;

/**
 * @throws ConfigurationError when the URL cannot be used, the module cannot be loaded, or its default export is not a
 *   publisher. The error never contains a URL, which may include a password
 */
export async function loadPublisher(name: string): Promise<Publisher> {
  if (/^(nats|tls):\/\//i.test(name)) {
    const { natsPublisher } = await import('../../outbox/publishers/nats.ts');
    return natsPublisher({ servers: name });
  }
  if (SERVER.test(name)) {
    throw new ConfigurationError(
      '--publish must be nats://host:4222, tls://host:4222 or the path of a module that exports a publisher',
    );
  }
  const url = pathToFileURL(resolve(name)).href;
  const exports = await (import(url) as Promise<{ default?: Publish | Publisher }>).catch(
    (error: unknown) => {
      if (error instanceof ConfigurationError) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new ConfigurationError(`the publisher ${name} could not be loaded: ${why}`, { cause: error });
    },
  );
  const publisher = exports.default;
  if (typeof publisher === 'function') return { publish: publisher };
  if (typeof publisher?.publish === 'function') return publisher;
  throw new ConfigurationError(
    `the publisher ${name} must have a default export that is a function (events, signal), or an object with such a function as \`publish\``,
  );
}
