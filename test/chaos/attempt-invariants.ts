/**
 * The invariants of failed attempts in a chaos run: an attempt is used up only if the command's own handler failed or its
 * worker was lost.
 *
 * @module
 */
import { FAILURE } from '../../src/core/protocol.ts';
import { TYPES_OF_ONE_RELEASE } from './bank.ts';
import type { Invariant } from './checker.ts';

const list = (types: readonly string[]) => types.map((type) => `'${type}'`).join(', ');

/** SQLSTATEs and error codes of a Postgres that was not reachable, accepted no writes, or ended the session. */
const UNAVAILABLE = String.raw`^(SQLSTATE (08|25006|26000|28|3D|42P05|53|57P|58|0A000)|E[A-Z]+$|ServerConnectionTimeout)`;

/** One of the faults cancels a workflow. Any worker may record that, because no handler runs for it. */
const CANCELLED = `error_type = '${FAILURE.cancelled}'`;

export const ATTEMPT_INVARIANTS: readonly Invariant[] = [
  {
    name: '16b no failed attempt by a release that does not know the type',
    sql: `select f.message_id, f.build_id, command_type, error_type, f.error
          from inbox.failures f join inbox.entries using (message_id)
          where not ${CANCELLED}
            and ((command_type in (${list(TYPES_OF_ONE_RELEASE.newer)}) and f.build_id = 'older')
              or (command_type in (${list(TYPES_OF_ONE_RELEASE.older)}) and f.build_id = 'newer'))`,
  },
  {
    name: '16c no attempt is used up because Postgres was unavailable',
    sql: `select message_id, attempt, build_id, error_type, error from inbox.failures
          where error_type ~ '${UNAVAILABLE}'`,
  },
  {
    name: '16d a command becomes a dead letter only if its handler says so or an operator cancels it',
    sql: `select message_id, generation, build_id, reason, error_type, error from inbox.dead_letters
          where error_type <> 'DiesUntilReplayed' and not ${CANCELLED}`,
  },
];
