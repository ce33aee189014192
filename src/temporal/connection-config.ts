/**
 * Where Temporal is, from its own variables and profile file.
 *
 * @module
 */
import { loadClientConnectConfig } from '@temporalio/envconfig';
import type { ClientConnectConfig } from '@temporalio/envconfig';
import { ConfigurationError } from '../core/errors.ts';
import { checkHeader, readVariables } from '../platform/environment.ts';
import type { Environment } from '../platform/environment.ts';
import { messageOf } from '../platform/error-message.ts';
import { hideInMessages, isSecretHeader } from '../platform/secrets.ts';

/**
 * Where Temporal is, from its own variables and profile file.
 *
 * @throws ConfigurationError where neither says an address, or a setting cannot be used; never with a secret
 */
export function readTemporal(env: Environment = process.env): ClientConnectConfig & { namespace: string } {
  const config = loadTemporalConfig(env);
  if (!config.connectionOptions.address) {
    throw new ConfigurationError(
      'TEMPORAL_ADDRESS is not set, and no Temporal profile gives an address: set it to host:port of the Temporal ' +
        'server, such as localhost:7233, or run `inbox dev` for an embedded one',
    );
  }
  if (config.connectionOptions.address.includes('@')) {
    throw new ConfigurationError(
      "Temporal's address has a user or password in it: write host:port, and give the key as TEMPORAL_API_KEY",
    );
  }
  return { ...config, namespace: config.namespace ?? 'default' };
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
    throw new ConfigurationError(`the settings for Temporal cannot be used: ${problemOf(error)}`);
  }
  return { ...config, connectionOptions: cleanConnection(config.connectionOptions) };
}

/** A parser's message repeats the line, which may be that of the API key. */
function problemOf(error: unknown): string {
  const { line } = error as { line?: unknown };
  if (typeof line === 'number') return `the profile file is no valid TOML (line ${line})`;
  return messageOf(error);
}

type Connecting = ClientConnectConfig['connectionOptions'];

/** What a profile file says, like what variables say. */
function cleanConnection(options: Connecting): Connecting {
  const { apiKey, metadata } = options;
  const headers = Object.entries(metadata ?? {}).map(([name, value]) => {
    const clean = typeof value === 'string' ? value.trim() : value;
    if (typeof clean === 'string') {
      if (isSecretHeader(name)) hideInMessages(clean);
      checkHeader(`the gRPC header ${name}`, clean);
    }
    return [name, clean] as const;
  });
  if (typeof apiKey === 'string') {
    hideInMessages(apiKey.trim());
    checkHeader("Temporal's API key", apiKey.trim());
  }
  return {
    ...options,
    ...(typeof apiKey === 'string' && { apiKey: apiKey.trim() }),
    ...(metadata !== undefined && { metadata: Object.fromEntries(headers) }),
  };
}
