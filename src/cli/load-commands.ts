/**
 * The commands of a user's module.
 *
 * @module
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { CommandDefinition } from '../command.ts';
import { ConfigurationError } from '../errors.ts';
import { isCommandDefinition } from '../registry.ts';

/** @throws ConfigurationError when the module cannot be loaded, or has no command */
export async function loadCommands(module: string): Promise<CommandDefinition[]> {
  const url = pathToFileURL(resolve(module)).href;
  const exports = await (import(url) as Promise<Record<string, unknown>>).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigurationError(`the module ${module} could not be loaded: ${why}`, { cause: error });
  });
  const candidates = Array.isArray(exports['default']) ? exports['default'] : Object.values(exports);
  // One command under two names is still one.
  const commands = [...new Set(candidates.filter((candidate) => isCommandDefinition(candidate)))];
  if (commands.length === 0) {
    throw new ConfigurationError(
      `the module ${module} exports no command; export what defineCommand returns`,
    );
  }
  return commands;
}
