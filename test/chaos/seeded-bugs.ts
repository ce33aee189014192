/**
 * Bugs for the test of the checker. Each one changes the worker's own statements or their answers, and names the invariants
 * that must find it. The shipped code is not changed.
 *
 * The inbox protects against many errors in two ways, so some bugs change two things; a comment says which of them would do
 * no harm alone. If a constraint, a trigger or a foreign key rejects the bug's rows, `schema` drops it first.
 *
 * @module
 */
import type { Statement } from '../support/patched-client.ts';
import type { MessageName } from './checker-scenario.ts';
import { both, corruptAtEnd, custom, forged, rewrite, rewriteFunction } from './seed.ts';
import type { SeededBug } from './seed.ts';
import { ALERT_BUGS } from './seeded-alert-bugs.ts';
import { DEAD_LETTER_BUGS } from './seeded-dead-letter-bugs.ts';

const FENCE = `attempt = $2 and status::text = 'Processing'`;
/** The same fence in the statement that completes the entry. */
const COMPLETION_FENCE = `attempt = $2::integer and status::text = 'Processing'::text
       and pg_catalog.pg_current`;
const LOCK = 'for no key update of entries';
const SAME_TRANSACTION = 'pg_catalog.pg_current_xact_id()::text = $3::text';

/** True if the statement's first parameter is the id of `message`. */
const isOf = ({ values }: Statement, message: MessageName) => String(values?.[0]).startsWith(`${message}-`);

export const SEEDED_BUGS: readonly SeededBug[] = [
  {
    name: "a sender's COMMIT is not checked and was a ROLLBACK",
    together: 'c',
    breaks: ['1a'],
    stuck: ['sent'],
    seed() {
      const lost = new WeakSet<object>();
      return custom('a commit', async ({ application, connection, text, values, send }, done) => {
        if (application !== 'sender') return send();
        if (String(values?.[0]).includes('"sent-')) lost.add(connection);
        if (text !== 'commit' || !lost.delete(connection)) return send();
        await send('rollback');
        done();
        return forged('COMMIT', 0);
      });
    },
  },
  {
    name: "an entry stays after its sender's rollback",
    together: 'a',
    breaks: ['1b'],
    seed: () =>
      custom('a rollback', ({ application, text, send }, done) => {
        if (application !== 'sender' || text !== 'rollback') return send();
        done();
        return send('commit');
      }),
  },
  {
    name: 'a message id is truncated on its way in',
    together: 'd',
    breaks: ['1a', '1c'],
    stuck: ['started'],
    seed: () =>
      custom('a claim', (statement, done) => {
        if (!statement.text.includes('inbox.insert_and_claim(')) return statement.send();
        const [message, ...others] = statement.values!;
        const { messageId, ...rest } = JSON.parse(String(message)) as { messageId: string };
        if (!messageId.startsWith('started-')) return statement.send();
        done();
        const cut = JSON.stringify({ messageId: messageId.slice(0, -1), ...rest });
        return statement.send(statement.text, [cut, ...others]);
      }),
  },
  {
    // After a swallowed error, the completing statement would fail on its own, so its answer is ignored, too.
    name: 'COMMIT is not checked after an SQL error that the handler swallowed',
    together: 'f',
    breaks: ['2'],
    // If the scenario takes so long that the command is retried, the second attempt's effect is committed.
    mayBreak: ['4a'],
    stuck: ['swallows'],
    seed() {
      const failed = new WeakSet<object>();
      let isOver = false;
      return custom('a commit', async (statement, done) => {
        const { connection, text, send } = statement;
        if (statement.application !== 'inbox attempts') return send();
        const completes = text.includes('with completed as');
        // The completion must not take effect later either, when the reconciler has the command retried.
        if (completes && isOver && isOf(statement, 'swallows')) return forged('SELECT', 1);
        // If the handler did more than queries, the inbox first returns to its own role.
        if (completes || text.startsWith('reset session authorization')) {
          return send().catch(() => (failed.add(connection), forged('SELECT', 1)));
        }
        const answer = await send();
        if (text !== 'commit' || !failed.delete(connection)) return answer;
        done();
        isOver = true;
        return forged('COMMIT', 0);
      });
    },
  },
  {
    // Each alone does no harm: a sweep finds entries without a notification, and a new connection looks for entries itself.
    name: 'LISTEN does not reconnect, and there are no sweeps',
    together: 'i',
    breaks: ['2'],
    stuck: ['after-listen'],
    seed() {
      let listening = 0;
      return custom('a second listen', async ({ application, text, send }, done) => {
        if (application === 'inbox listener' && text.startsWith('listen')) {
          listening += 1;
          if (listening === 1) return send();
          done();
          throw new Error('the listener does not reconnect');
        }
        const sweep = text.includes('skip locked') && text.includes(`status = 'Pending'`);
        return sweep && listening > 1 ? forged('UPDATE', 0) : send();
      });
    },
  },
  {
    // Found through the attempt that is overtaken before it locks the row.
    name: 'no fence',
    together: 'c',
    breaks: ['3a', '3b'],
    seed: () =>
      rewrite('inbox attempts', [
        `attempt = $2::integer and status::text = 'Processing'::text`,
        'attempt >= $2::integer',
      ]),
  },
  {
    // The fence of the completing statement alone stops an overtaken attempt: it locks and checks in one statement.
    name: 'no row lock, and no fence in the completing statement',
    together: 'd',
    breaks: ['3a', '3b'],
    seed: () =>
      rewrite(
        'inbox attempts',
        [LOCK, ''],
        [COMPLETION_FENCE, 'attempt >= $2::integer and pg_catalog.pg_current'],
      ),
  },
  {
    // Without the row lock, because the completion from outside would wait for the attempt's own lock.
    name: 'completion outside of the transaction',
    together: 'e',
    breaks: ['3a'],
    mayBreak: ['3b'],
    seed: () =>
      custom('a completion', async ({ application, text, values, send, separatePool }, done) => {
        if (application !== 'inbox attempts') return send();
        if (text.includes(LOCK)) return send(text.replace(LOCK, ''));
        if (!text.includes(SAME_TRANSACTION)) return send();
        done();
        return separatePool.query(text.replace(SAME_TRANSACTION, '$3::text is not null'), values);
      }),
  },
  {
    // Only a Completed entry may have a result and processed_at, so the bug clears both.
    name: 'a duplicate start claims a Completed row',
    together: 'f',
    breaks: ['3a', '6c'],
    mayBreak: ['3b'],
    seed: () =>
      rewriteFunction(
        'insert_and_claim',
        ['next_retry_at = null', 'next_retry_at = null, processed_at = null, result = null'],
        [`(e.status = 'Pending' or `, `(e.status in ('Pending', 'Completed') or `],
      ),
  },
  {
    name: 'a COMMIT whose answer was lost is recorded as a failure',
    together: 'g',
    breaks: ['3a'],
    mayBreak: ['3b'],
    seed: () =>
      rewrite(
        'inbox records',
        [FENCE, 'attempt = $2'],
        [`set status = 'Failed',`, `set status = 'Failed', processed_at = null, result = null,`],
      ),
  },
  {
    name: 'an event is lost',
    together: 'a',
    breaks: ['3b'],
    seed: () =>
      rewrite('inbox attempts', ['jsonb_array_elements($5::jsonb)', 'jsonb_array_elements($5::jsonb - 0)']),
  },
  {
    name: 'events are written twice',
    together: 'b',
    breaks: ['3b'],
    seed: () =>
      rewrite('inbox attempts', [
        'from completed, pg_catalog.jsonb',
        'from completed, generate_series(1, 2), pg_catalog.jsonb',
      ]),
  },
  {
    name: 'events are written in the wrong order',
    together: 'h',
    breaks: ['3b'],
    seed: () => rewrite('inbox attempts', ['order by e.place', 'order by e.place desc']),
  },
  {
    name: 'a failed attempt is committed',
    together: 'h',
    breaks: ['4a', '3a'],
    seed: () =>
      custom('a rollback', ({ application, text, send }, done) => {
        if (application !== 'inbox attempts' || text !== 'rollback') return send();
        done();
        return send('commit');
      }),
  },
  {
    name: 'a command that died has an event of its handler',
    together: 'i',
    breaks: ['4b'],
    mayBreak: ['3b'],
    seed: () =>
      rewrite('inbox records', [
        `select 'inbox', message_id, 'CommandDeadLettered'`,
        `select 'account', message_id, 'CommandDeadLettered'`,
      ]),
  },
  {
    // Foreign keys would reject all of these rows except those of the outbox, which has none.
    name: 'failures, dead letters, events and audit rows belong to a message that does not exist',
    together: 'j',
    breaks: ['inbox.outbox', 'inbox.failures', 'inbox.dead_letters', 'inbox.audit'].map(
      (table) => `5 no orphan in ${table}`,
    ),
    mayBreak: ['3b', '6a', '6c'],
    schema: `alter table inbox.failures drop constraint failures_message_id_fkey;
      alter table inbox.dead_letters drop constraint dead_letters_message_id_fkey;
      alter table inbox.audit drop constraint audit_message_id_fkey`,
    seed() {
      const records = rewrite(
        'inbox records',
        ['select message_id, generation, attempt, $3', `select message_id || '?', generation, attempt, $3`],
        // The second dead letter belongs to no message; the first one is as usual.
        [
          'from dead\n       returning *',
          `from dead union all
          select message_id || '?', generation, command_type, payload, correlation_id, causation_id, metadata, $3, $4,
                 $10, $9, retry_count, $8, $12::jsonb from dead
          returning *`,
        ],
      );
      const attempts = rewrite('inbox attempts', [
        'completed.message_id, pg_catalog.clock',
        `completed.message_id || '?', pg_catalog.clock`,
      ]);
      const audit = both(
        rewriteFunction('discard_dead_letter', [
          `'discard', letter.message_id`,
          `'discard', letter.message_id || '?'`,
        ]),
        rewriteFunction('replay_dead_letter', [
          `'replay', letter.message_id`,
          `'replay', letter.message_id || '?'`,
        ]),
      );
      return both(both(records, attempts), audit);
    },
  },
  {
    name: 'an entry is deleted but its effect is not (corrupted by hand, because no code deletes entries)',
    together: 'e',
    breaks: ['1a', '5 no orphan in chaos.effects', '5 no orphan in inbox.outbox'],
    mayBreak: ['11b'],
    seed: () =>
      corruptAtEnd(`delete from inbox.entries where message_id =
        (select min(message_id) from inbox.entries e join chaos.effects using (message_id)
         where not exists (select from inbox.failures f where f.message_id = e.message_id))`),
  },
  {
    name: "retry_count does not count a command's last failure",
    together: 'b',
    breaks: ['6a'],
    seed: () => rewrite('inbox records', ["'DeadLetter', retry_count = retry_count + 1,", "'DeadLetter',"]),
  },
  {
    name: 'a replay does not reset retry_count',
    together: 'a',
    breaks: ['6a'],
    seed: () => rewriteFunction('replay_dead_letter', ['retry_count = 0,', '']),
  },
  {
    name: 'more failures than allowed attempts (corrupted by hand, because the retries would take a minute)',
    together: 'g',
    breaks: ['6a'],
    seed: () =>
      corruptAtEnd(`with tried as (
        update inbox.entries set retry_count = 21, attempt = 22
        where id = (select id from inbox.entries where status = 'Completed' and retry_count = 0 and generation = 0 limit 1)
        returning message_id)
      insert into inbox.failures (message_id, generation, attempt, error_type, error, retryable)
      select message_id, 0, n, 'Error', 'Error: again', true from tried, generate_series(1, 21) as n`),
  },
  {
    name: 'a failure is recorded twice',
    together: 'e',
    breaks: ['6b', '6a', '6c'],
    schema: 'alter table inbox.failures drop constraint failures_message_id_attempt_key',
    seed: () =>
      rewrite('inbox records', ['$7, $8 from failed)', '$7, $8 from failed, generate_series(1, 2))']),
  },
  {
    name: 'a failure is not recorded',
    together: 'd',
    breaks: ['6a', '6c'],
    seed: () => rewrite('inbox records', ['$7, $8 from failed)', '$7, $8 from failed where false)']),
  },
  {
    name: 'an attempt whose worker was lost is not counted as failed',
    together: 'h',
    breaks: ['6c'],
    seed: () =>
      rewriteFunction('insert_and_claim', [
        `(e.status = 'Pending' or `,
        `(e.status in ('Pending', 'Processing') or `,
      ]),
  },
  {
    name: 'next_retry_at is not cleared when the retry starts',
    together: 'c',
    breaks: ['7a'],
    schema: 'drop trigger entry_is_sound on inbox.entries',
    seed: () => rewrite('inbox claims', [', next_retry_at = null', '']),
  },
  ...DEAD_LETTER_BUGS,
  ...ALERT_BUGS,
  {
    name: 'a replay with a new payload changes the fingerprint',
    together: 'a',
    breaks: ['10'],
    seed: () =>
      rewriteFunction('replay_dead_letter', [
        'payload = coalesce(replay_dead_letter.payload, e.payload),',
        `payload = coalesce(replay_dead_letter.payload, e.payload),
         fingerprint = inbox.fingerprint(e.command_type, coalesce(replay_dead_letter.payload, e.payload)),`,
      ]),
  },
  {
    name: 'a replay with a new payload loses the first payload',
    together: 'b',
    breaks: ['10'],
    seed: () =>
      rewriteFunction('replay_dead_letter', [
        `set resolution = 'replayed',`,
        `set resolution = 'replayed', payload = coalesce(replay_dead_letter.payload, d.payload),`,
      ]),
  },
  {
    name: 'money is lost, because one statement of a transfer has no effect',
    together: 'b',
    breaks: ['11a', '11b'],
    seed: () => rewrite('inbox attempts', ['balance + $1 where', 'balance + $1 where false and']),
  },
  {
    name: 'money goes to the wrong account',
    together: 'a',
    breaks: ['11b'],
    seed: () =>
      rewrite('inbox attempts', ['balance + $1 where id = $2', 'balance + $1 where id = ($2 + 1) % 20']),
  },
  {
    name: 'a connection returns to the pool with an open transaction',
    together: 'b',
    breaks: ['13'],
    seed: () =>
      custom('a commit', async ({ application, text, send }, done) => {
        const answer = await send();
        if (application !== 'inbox attempts' || text !== 'commit') return answer;
        await send('begin');
        done();
        return answer;
      }),
  },
  {
    name: 'needs_workflow is not cleared when the workflow was started',
    together: 'b',
    breaks: ['14'],
    seed: () =>
      custom('an update of needs_workflow', ({ application, text, send }, done) => {
        // The scenario's commands already have a workflow, so this marks all of them as needing one.
        if (application === 'inbox attempts')
          return send(text.replace('needs_workflow = $6', 'needs_workflow = true or $6'));
        if (!text.includes('set needs_workflow = false')) return send();
        done();
        return send(text.replace('set needs_workflow = false', 'set needs_workflow = needs_workflow'));
      }),
  },
];

/** The groups of bugs that share a run. */
export const SEEDED_RUNS: readonly (readonly SeededBug[])[] = [
  ...new Set(SEEDED_BUGS.map(({ together }) => together)),
].map((letter) => SEEDED_BUGS.filter(({ together }) => together === letter));
