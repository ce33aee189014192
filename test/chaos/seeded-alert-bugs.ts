/**
 * Bugs that lose the alert or the event of a dead letter, or make it wrong; see seeded-bugs.ts.
 *
 * @module
 */
import { custom, rewrite } from './seed.ts';
import type { SeededBug } from './seed.ts';

export const ALERT_BUGS: readonly SeededBug[] = [
  {
    name: 'the event of a dead letter is lost',
    together: 'a',
    breaks: ['12'],
    seed: () => rewrite('inbox records', ['from letter),', 'from letter where false),']),
  },
  {
    name: 'a dead letter writes two events',
    together: 'b',
    breaks: ['12'],
    seed: () => rewrite('inbox records', ['from letter),', 'from letter, generate_series(1, 2)),']),
  },
  {
    // As if the commands had died before the inbox had alerts.
    name: 'the alert of a dead letter is lost',
    together: 'c',
    breaks: ['12b', '12c'],
    seed: () => rewrite('inbox records', ['coalesce(made.id, $6)', '$6']),
  },
  {
    name: 'an alert is recorded as delivered before it is',
    together: 'd',
    breaks: ['12b'],
    seed: () =>
      custom('a delivery', async ({ application, text, values, send, separatePool }, done) => {
        if (application !== 'inbox records' || !text.includes('set tries = tries + 1')) return send();
        done();
        await separatePool.query(`update inbox.alerts set waiting = '{}', ended_at = now() where id = $1`, [
          values?.[0],
        ]);
        return send();
      }),
  },
];
