/**
 * A command that only this module has, for a worker in another process.
 *
 * @module
 */
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';

export const shipParcel = defineCommand({
  type: 'ShipParcel',
  schema: z.object({}),
  express: true,
  async handle() {},
});
