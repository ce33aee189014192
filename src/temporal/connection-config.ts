/**
 * Reads Temporal's connection settings from its own environment variables and profile file.
 *
 * @module
 */
import { loadClientConnectConfig } from '@temporalio/envconfig';
import type { ClientConnectConfig } from '@temporalio/envconfig';
import { ConfigurationError } from '../core/errors.ts';
import { checkHeader, readVariables } from '../platform/environment.ts';
import type { Environment } from '../platform/environment.ts';
import { messageOf } from '../platform/error-message.ts';
import { registerSecret, isSecretHeader } from '../platform/secrets.ts';

/**
 * Reads Temporal's connection settings from its own environment variables and profile file.
 *
 * @throws ConfigurationError if there is no address or a setting is invalid; its message never contains a secret
 */
export function readTemporal(env: Environment = process.env): ClientConnectConfig & { namespace: string } {
  const config = loadTemporalConfig(env);
  if (!config.connectionOptions.address) {
    throw new ConfigurationError(
      'TEMPORAL_ADDRESS is not set, and no Temporal profile has an address: set it to host:port of the Temporal ' +
        'server, such as localhost:7233, or run `inbox dev` for an embedded server',
    );
  }
  if (config.connectionOptions.address.includes('@')) {
    throw new ConfigurationError(
      "Temporal's address contains a user or password: use host:port, and put the key in TEMPORAL_API_KEY",
    );
  }
  return { ...config, namespace: config.namespace ?? 'default' };
}

/**
 * Reads the namespace alone, for programs that do not connect to Temporal.
 *
 * @throws ConfigurationError if a setting is invalid; its message never contains a secret
 */
export function readNamespace(env: Environment = process.env): string {
  return loadTemporalConfig(env).namespace ?? 'default';
}

function loadTemporalConfig(env: Environment): ClientConnectConfig {
  const others = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !entry[0].startsWith('TEMPORAL_'),
  );
  const variables = { ...Object.fromEntries(others), ...readVariables(env, /^TEMPORAL_/) };
  let config: ClientConnectConfig;
  try {
    config = loadClientConnectConfig({ overrideEnvVars: variables });
  } catch (error) {
    throw new ConfigurationError(`the Temporal settings are invalid: ${problemOf(error)}`);
  }
  return { ...config, connectionOptions: cleanConnection(config.connectionOptions) };
}

/** The TOML parser's message repeats the line, which may contain the API key. */
function problemOf(error: unknown): string {
  const { line } = error as { line?: unknown };
  if (typeof line === 'number') return `the profile file is not valid TOML (line ${line})`;
  return messageOf(error);
}

type ConnectionOptions = ClientConnectConfig['connectionOptions'];

/** Trims and checks the values of a profile file, as `readVariables` does for environment variables. */
function cleanConnection(options: ConnectionOptions): ConnectionOptions {
  const { apiKey, metadata } = options;
  const headers = Object.entries(metadata ?? {}).map(([name, value]) => {
    const clean = typeof value === 'string' ? value.trim() : value;
    if (typeof clean === 'string') {
      if (isSecretHeader(name)) registerSecret(clean);
      checkHeader(`the gRPC header ${name}`, clean);
    }
    return [name, clean] as const;
  });
  if (typeof apiKey === 'string') {
    registerSecret(apiKey.trim());
    checkHeader("Temporal's API key", apiKey.trim());
  }
  return {
    ...options,
    ...(typeof apiKey === 'string' && { apiKey: apiKey.trim() }),
    ...(metadata !== undefined && { metadata: Object.fromEntries(headers) }),
  };
}
