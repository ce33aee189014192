/**
 * Bugs of dead letters, their replay and their discard; see seeded-bugs.ts.
 *
 * @module
 */
import type { MessageName } from './checker-scenario.ts';
import { both, rewrite, rewriteFunction } from './seed.ts';
import type { SeededBug } from './seed.ts';

const REPLAYED: MessageName[] = ['dies-replayed', 'dies-mended', 'dies-answer-lost'];

export const DEAD_LETTER_BUGS: readonly SeededBug[] = [
  {
    name: 'a replay that leaves the dead letter open',
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
    name: 'dead letter without its row',
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
    // Temporal runs the activity again when the worker's answer was lost.
    name: 'replay twice',
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
    name: 'replay resolves the dead letter, and leaves its entry dead',
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
    name: 'a dead letter whose workflow is gone is taken for a discarded one',
    together: 'j',
    breaks: ['8'],
    seed: () =>
      rewrite('inbox claims', ['resolution, resolved_at as', `'discarded' as resolution, resolved_at as`]),
  },
  {
    name: 'resolution without actor',
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
    name: 'a discard that the audit does not show',
    together: 'a',
    breaks: ['9'],
    seed: () => rewriteFunction('discard_dead_letter', ['from letter)', 'from letter where false)']),
  },
  {
    name: 'a replay that the audit does not show',
    together: 'b',
    breaks: ['9'],
    seed: () =>
      rewriteFunction('replay_dead_letter', [
        'from letter join entry using (message_id)',
        'from letter join entry using (message_id) where false',
      ]),
  },
];
