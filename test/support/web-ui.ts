/**
 * Renders Markdown like Temporal's Web UI: it first replaces placeholders, then reads the text as CommonMark. Simulated, because
 * the Web UI needs a browser.
 *
 * @module
 */
import { micromark } from 'micromark';

/** @param workflowId - stands for all three values, so that a hostile one is tried in each place */
export function renderLikeWebUi(markdown: string, workflowId: string): string {
  return micromark(markdown.replaceAll(/\{(workflowId|runId|namespace)\}/g, () => workflowId));
}
