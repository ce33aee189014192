/**
 * The workflows that are bundled for Temporal's sandbox.
 *
 * @module
 */
export { deliverAlert } from './deliver-alert.ts';
export { handleCommand } from './handle-command.ts';
export { replayCampaign } from './replay-campaign.ts';

// All other workflow types are command types. Temporal looks a type up as a property of this module, so without the other
// names a command type such as `toString` would run a function that every object inherits.
export {
  handleTypedCommand as default,
  handleTypedCommand as constructor,
  handleTypedCommand as hasOwnProperty,
  handleTypedCommand as isPrototypeOf,
  handleTypedCommand as propertyIsEnumerable,
  handleTypedCommand as toLocaleString,
  handleTypedCommand as toString,
  handleTypedCommand as valueOf,
  handleTypedCommand as __defineGetter__,
  handleTypedCommand as __defineSetter__,
  handleTypedCommand as __lookupGetter__,
  handleTypedCommand as __lookupSetter__,
} from './handle-command.ts';
