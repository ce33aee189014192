/**
 * Bugs of dead letters, their replay and their discard; see seeded-bugs.ts.
 *
 * @module
 */
import type { MessageName } from './checker-scenario.ts';
import { rewrite } from './seed.ts';
import type { SeededBug } from './seed.ts';

const REPLAYED: MessageName[] = ['dies-replayed', 'dies-mended', 'dies-answer-lost'];

export const DEAD_LETTER_BUGS: readonly SeededBug[] = [
  {
    name: 'a replay that leaves the dead letter open',
    together: 'g',
    breaks: ['7b', '7d', '9'],
    seed: () =>
      rewrite('inbox records', [
        `set resolution = 'replayed', resolved_at = now(), resolved_by = $2, resolved_reason = $3`,
        'set resolved_reason = $3',
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
      rewrite(
        'inbox records',
        [
          `where message_id = $1 and coalesce(resolution, '') = '' and ($5::uuid is null or id = $5)
       returning id, message_id, generation`,
          `where message_id = $1 and $5::uuid is null returning id, message_id, generation`,
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
    seed: () => rewrite('inbox records', [` and e.status::text = 'DeadLetter'`, ` and e.status = 'Pending'`]),
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
    seed: () => rewrite('inbox records', ['resolved_by = $2', 'resolved_by = null']),
  },
  {
    name: 'a discard that the audit does not show',
    together: 'a',
    breaks: ['9'],
    seed: () =>
      rewrite('inbox records', [
        `jsonb_build_object('deadLetterId', id) from letter`,
        `jsonb_build_object('deadLetterId', id) from letter where false`,
      ]),
  },
  {
    name: 'a replay that the audit does not show',
    together: 'b',
    breaks: ['9'],
    seed: () =>
      rewrite('inbox records', [
        'from letter join entry using (message_id)',
        'from letter join entry using (message_id) where false',
      ]),
  },
];
