/**
 * The part of `inbox doctor` that looks at running workers, and at commands whose type none of them knows.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { Verdict } from './finding.ts';
import { unhealthy, duration, healthy } from './finding.ts';
import { shellCommand } from '../core/shell.ts';
import { findUnknownTypes, listLiveWorkers } from '../store/workers.ts';

/** Named at most; a sender can invent any number of types. */
const MOST_NAMED = 5;

/** @throws what Postgres throws */
export async function checkCommandTypes(db: Queryable): Promise<Verdict> {
  const [workers, unknown] = await Promise.all([listLiveWorkers(db), findUnknownTypes(db)]);
  const [first] = unknown;
  // Then the check of pending entries reports what waits.
  if (workers.length === 0)
    return healthy('no worker was seen in the last 30 s, so there is nothing to compare');
  if (!first) {
    const running = workers.length === 1 ? '1 worker' : `${workers.length} workers`;
    return healthy(
      `every open command has a type that a running worker knows (${running} seen in the last 30 s)`,
    );
  }
  const named = unknown
    .slice(0, MOST_NAMED)
    .map(
      ({ commandType, count, oldestMs }) => `${commandType} (${count}, the oldest for ${duration(oldestMs)})`,
    );
  const more = unknown.length > MOST_NAMED ? `, and ${unknown.length - MOST_NAMED} more types` : '';
  const example = `one of them: ${shellCommand`inbox show ${first.example}` ?? JSON.stringify(first.example)}`;
  return unhealthy(
    `no running worker knows these command types: ${named.join(', ')}${more}`,
    `start a worker whose module has them; their commands wait and lose nothing. If a sender misspelled the type, send the ` +
      `command again under a new message_id; ${example}`,
  );
}
