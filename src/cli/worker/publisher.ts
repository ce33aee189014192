/**
 * What `--publish` names: NATS by its URL, or a module of the user's.
 *
 * @module
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ConfigurationError } from '../../core/errors.ts';
import type { Publish, Publisher } from '../../core/published-event.ts';

/** `scheme:` or `user:password@`; a single letter is a drive of Windows. */
const SERVER = /^[a-z][a-z\d+.-]+:|:[^/]*@/i;

/**
 * @throws ConfigurationError when the server's URL cannot be used (never with the URL, which may hold a password), the module
 *   cannot be loaded, or its default export is no publisher
 */
export async function loadPublisher(name: string): Promise<Publisher> {
  if (/^(nats|tls):\/\//i.test(name)) {
    const { natsPublisher } = await import('../../outbox/publishers/nats.ts');
    return natsPublisher({ servers: name });
  }
  if (SERVER.test(name)) {
    throw new ConfigurationError(
      '--publish takes nats://host:4222, tls://host:4222 or the path of a module that exports a publisher, and this is none of them',
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
    `the publisher ${name} must export as its default a function (events, signal), or an object with one as \`publish\``,
  );
}
