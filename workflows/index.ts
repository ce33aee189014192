/**
 * The workflows that are bundled for Temporal's sandbox.
 *
 * @module
 */
export { deliverAlert } from './deliver-alert.ts';
export { handleCommand } from './handle-command.ts';
export { replayCampaign } from './replay-campaign.ts';
