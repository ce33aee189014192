/**
 * A module that uses zod, which must not get into a workflow.
 *
 * @module
 */
import { z } from 'zod';

export const schema = z.object({ used: z.boolean() });
