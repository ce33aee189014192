/**
 * Commands with a secret in their payload, for a worker whose whole output is searched for it.
 *
 * @module
 */
import { z } from 'zod';
import { defineCommand } from '../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../src/core/errors.ts';

const define = (type: string, express: boolean | 'recorded') =>
  defineCommand({
    type,
    express,
    schema: z.object({ secret: z.string(), course: z.string() }),
    retry: { initialInterval: '100ms' },
    async handle({ payload: { secret, course }, attempt, emit, messageId, tx }) {
      emit({ aggregateType: 'canary', aggregateId: messageId, type: 'Sang', payload: { attempt } });
      if (course === 'dies') throw new UnrecoverableError('Refused');
      if (course === 'retried' && attempt === 1) throw new Error('not yet');
      // Real handlers put payload data into errors, too.
      if (course === 'quotes' && attempt === 1) throw new Error(`no account ${secret}`);
      if (course === 'casts' && attempt === 1) await tx.query('select $1::text::integer', [secret]);
      if (course === 'quotes and dies') throw new UnrecoverableError('Refused', { account: secret });
      return { secret: 'canary-result-4711' };
    },
  });

export const canary = define('Canary', false);
export const expressCanary = define('ExpressCanary', true);
export const recordedCanary = define('RecordedCanary', 'recorded');
