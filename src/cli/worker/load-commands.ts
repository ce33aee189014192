/**
 * Loads the commands of a user's module, and its hook for dead letters.
 *
 * @module
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { DeadLetterHook } from '../../core/alert.ts';
import type { SdkOptions } from '../../temporal/sdk-options.ts';
import type { CommandDefinition } from '../../commands/define-command.ts';
import { ConfigurationError } from '../../core/errors.ts';
import { isCommandDefinition } from '../../commands/registry.ts';

export interface LoadedModule {
  commands: CommandDefinition[];
  /** The module's exports of these names, if it has them. Spread them into the worker's options. */
  hooks: { onDeadLetter?: DeadLetterHook } & SdkOptions;
}

/** @throws ConfigurationError when the module cannot be loaded, has no command, or its onDeadLetter is not a function */
export async function loadCommands(module: string): Promise<LoadedModule> {
  const url = pathToFileURL(resolve(module)).href;
  const exports = await (import(url) as Promise<Record<string, unknown>>).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigurationError(`the module ${module} could not be loaded: ${why}`, { cause: error });
  });
  const candidates = Array.isArray(exports['default']) ? exports['default'] : Object.values(exports);
  // A command that is exported under two names counts once.
  const commands = [...new Set(candidates.filter((candidate) => isCommandDefinition(candidate)))];
  if (commands.length === 0) {
    throw new ConfigurationError(
      `the module ${module} exports no command; export what defineCommand returns`,
    );
  }
  const { onDeadLetter, dataConverter, interceptors } = exports;
  if (onDeadLetter !== undefined && typeof onDeadLetter !== 'function') {
    throw new ConfigurationError(
      `the module ${module} exports an onDeadLetter that is not a function; write export async function onDeadLetter(alert) { … }`,
    );
  }
  const given = Object.entries({ onDeadLetter, dataConverter, interceptors });
  return { commands, hooks: Object.fromEntries(given.filter(([, value]) => value !== undefined)) };
}
