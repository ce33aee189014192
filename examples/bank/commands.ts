/**
 * The bank's commands, as `inbox worker dist/examples/bank/commands.js` takes them.
 *
 * @module
 */
export { createAccount } from './create-account.ts';
export { depositFunds } from './deposit-funds.ts';
export { transferFunds } from './transfer-funds.ts';
