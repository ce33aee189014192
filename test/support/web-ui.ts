/**
 * Renders Markdown like Temporal's Web UI, which first replaces placeholders and then parses the text as CommonMark. This is
 * a simulation, because the Web UI needs a browser.
 *
 * @module
 */
import { micromark } from 'micromark';

/** @param workflowId - replaces all three placeholders, so that a hostile value is tested in each of them */
export function renderLikeWebUi(markdown: string, workflowId: string): string {
  return micromark(markdown.replaceAll(/\{(workflowId|runId|namespace)\}/g, () => workflowId));
}
