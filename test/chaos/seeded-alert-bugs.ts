/**
 * Bugs by which nobody hears of a dead letter, or hears of it wrongly; see seeded-bugs.ts.
 *
 * @module
 */
import { custom, rewrite } from './seed.ts';
import type { SeededBug } from './seed.ts';

export const ALERT_BUGS: readonly SeededBug[] = [
  {
    name: 'event of a dead letter lost',
    together: 'a',
    breaks: ['12'],
    seed: () => rewrite('inbox records', ['from letter),', 'from letter where false),']),
  },
  {
    name: 'a dead letter told as two events',
    together: 'b',
    breaks: ['12'],
    seed: () => rewrite('inbox records', ['from letter),', 'from letter, generate_series(1, 2)),']),
  },
  {
    // As if they had died before there were alerts.
    name: 'alert lost',
    together: 'c',
    breaks: ['12b', '12c'],
    seed: () => rewrite('inbox records', ['coalesce(made.id, $6)', '$6']),
  },
  {
    name: 'alert written down as told before it is',
    together: 'd',
    breaks: ['12b'],
    seed: () =>
      custom('a try', async ({ application, text, values, send, aside }, done) => {
        if (application !== 'inbox records' || !text.includes('set tries = tries + 1')) return send();
        done();
        await aside.query(`update inbox.alerts set waiting = '{}', ended_at = now() where id = $1`, [
          values?.[0],
        ]);
        return send();
      }),
  },
];
