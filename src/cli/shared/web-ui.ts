/**
 * The address of Temporal's Web UI for the links that commands print.
 *
 * @module
 */
import { settingsFromEnv } from '../../settings.ts';
import { readNamespace } from '../../temporal/connection-config.ts';
import type { WebUi } from '../../temporal/web-ui.ts';

/**
 * Returns null when INBOX_TEMPORAL_UI_URL is not set.
 *
 * @throws ConfigurationError when the settings are invalid
 */
export function readWebUi(): WebUi | null {
  const { temporalUiUrl } = settingsFromEnv();
  return temporalUiUrl === null ? null : { url: temporalUiUrl, namespace: readNamespace() };
}
