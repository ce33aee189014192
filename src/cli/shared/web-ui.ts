/**
 * The address of Temporal's Web UI for the links that commands print.
 *
 * @module
 */
import { ConfigurationError } from '../../core/errors.ts';
import { readVariables } from '../../platform/environment.ts';
import { readNamespace } from '../../temporal/connection-config.ts';
import { webUiProblem } from '../../temporal/web-ui.ts';
import type { WebUi } from '../../temporal/web-ui.ts';

/**
 * Reads only this setting, so that a mistake in a worker's settings does not keep anyone from looking at a message.
 *
 * @returns null when INBOX_TEMPORAL_UI_URL is not set
 * @throws ConfigurationError when it is not the address of a Web UI, or when the Temporal settings are invalid
 */
export function readWebUi(): WebUi | null {
  const { INBOX_TEMPORAL_UI_URL: url } = readVariables(process.env, /^INBOX_TEMPORAL_UI_URL$/);
  if (url === undefined) return null;
  const problem = webUiProblem(url);
  if (problem !== null) throw new ConfigurationError(`INBOX_TEMPORAL_UI_URL ${problem}`);
  return { url, namespace: readNamespace() };
}
