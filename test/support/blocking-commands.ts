/**
 * A command whose handler blocks the event loop for longer than any test waits.
 *
 * @module
 */
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';

export const blockEventLoop = defineCommand({
  type: 'BlockEventLoop',
  schema: z.object({}),
  express: true,
  async handle() {
    for (;;);
  },
});
