/**
 * Commands that know a secret, for a worker whose every line is looked at.
 *
 * @module
 */
import { z } from 'zod';
import { defineCommand } from '../../src/command.ts';
import { UnrecoverableError } from '../../src/errors.ts';

const define = (type: string, express: boolean) =>
  defineCommand({
    type,
    express,
    schema: z.object({ secret: z.string(), course: z.string() }),
    retry: { initialInterval: '100ms' },
    handle({ payload: { course }, attempt, emit, messageId }) {
      emit({ aggregateType: 'canary', aggregateId: messageId, type: 'Sang', payload: { attempt } });
      if (course === 'dies') throw new UnrecoverableError('Refused');
      if (course === 'retried' && attempt === 1) throw new Error('not yet');
      return { secret: 'canary-result-4711' };
    },
  });

export const canary = define('Canary', false);
export const expressCanary = define('ExpressCanary', true);
