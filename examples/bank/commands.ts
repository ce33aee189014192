/**
 * The bank's commands, in the form that `inbox worker dist/examples/bank/commands.js` expects.
 *
 * @module
 */
export { createAccount } from './create-account.ts';
export { depositFunds } from './deposit-funds.ts';
export { transferFunds } from './transfer-funds.ts';
