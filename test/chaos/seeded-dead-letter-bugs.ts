/**
 * Bugs in dead letters, in their replay and in their discard; see seeded-bugs.ts.
 *
 * @module
 */
import type { MessageName } from './checker-scenario.ts';
import { both, rewrite, rewriteFunction } from './seed.ts';
import type { SeededBug } from './seed.ts';

const REPLAYED: MessageName[] = ['dies-replayed', 'dies-corrected', 'dies-answer-lost'];

export const DEAD_LETTER_BUGS: readonly SeededBug[] = [
  {
    name: 'a replay leaves the dead letter open',
    together: 'g',
    breaks: ['7b', '7d', '9'],
    seed: () =>
      rewriteFunction('replay_dead_letter', [
        `set resolution = 'replayed', resolved_at = now(), resolved_by = replay_dead_letter.actor,
        resolved_reason`,
        'set resolved_reason',
      ]),
  },
  {
    name: 'a dead letter has no row in dead_letters',
    together: 'h',
    breaks: ['7c'],
    stuck: ['dies-discarded', ...REPLAYED],
    seed: () =>
      rewrite('inbox records', [
        'from dead\n       returning *',
        'from dead where false\n       returning *',
      ]),
  },
  {
    // Temporal repeats the activity if the worker's answer is lost.
    name: 'a replay is applied twice',
    together: 'f',
    breaks: ['7d', '9'],
    seed: () =>
      rewriteFunction(
        'replay_dead_letter',
        [
          `and coalesce(d.resolution, '') = ''
      and (replay_dead_letter.dead_letter_id is null or d.id = replay_dead_letter.dead_letter_id)`,
          'and replay_dead_letter.dead_letter_id is null',
        ],
        [` and e.status::text = 'DeadLetter'`, ''],
      ),
  },
  {
    name: 'a replay resolves the dead letter but leaves its entry dead',
    together: 'i',
    breaks: ['7c', '8'],
    mayBreak: ['9'],
    stuck: REPLAYED,
    seed: () =>
      rewriteFunction('replay_dead_letter', [
        ` and e.status::text = 'DeadLetter'`,
        ` and e.status = 'Pending'`,
      ]),
  },
  {
    name: 'a dead letter whose workflow is gone is treated as discarded',
    together: 'j',
    breaks: ['8'],
    seed: () =>
      rewrite('inbox claims', ['resolution, resolved_at as', `'discarded' as resolution, resolved_at as`]),
  },
  {
    name: 'a resolution has no actor',
    together: 'e',
    breaks: ['9'],
    schema: 'alter table inbox.dead_letters drop constraint resolution_is_whole',
    seed: () =>
      both(
        rewriteFunction('replay_dead_letter', [
          'resolved_by = replay_dead_letter.actor',
          'resolved_by = null',
        ]),
        rewriteFunction('discard_dead_letter', [
          'resolved_by = discard_dead_letter.actor',
          'resolved_by = null',
        ]),
      ),
  },
  {
    name: 'a discard is missing in the audit',
    together: 'a',
    breaks: ['9'],
    seed: () => rewriteFunction('discard_dead_letter', ['from letter)', 'from letter where false)']),
  },
  {
    name: 'a replay is missing in the audit',
    together: 'b',
    breaks: ['9'],
    seed: () =>
      rewriteFunction('replay_dead_letter', [
        'from letter join entry using (message_id)',
        'from letter join entry using (message_id) where false',
      ]),
  },
];
