/**
 * What must not get into a workflow: a module that uses zod.
 *
 * @module
 */
import { z } from 'zod';

export const schema = z.object({ used: z.boolean() });
