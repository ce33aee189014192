/**
 * The command types check of `inbox doctor`: finds commands whose type no running worker knows.
 *
 * @module
 */
import type { Queryable } from '../platform/queryable.ts';
import type { Verdict } from './finding.ts';
import { unhealthy, duration, healthy } from './finding.ts';
import { shellCommand } from '../core/shell.ts';
import { findUnknownTypes, listLiveWorkers } from '../store/workers.ts';

/** The most types that the finding names: a sender can invent any number of them. */
const MAX_NAMED = 5;

/** @throws any error from Postgres */
export async function checkCommandTypes(db: Queryable): Promise<Verdict> {
  const [workers, unknown] = await Promise.all([listLiveWorkers(db), findUnknownTypes(db)]);
  const [first] = unknown;
  // Without workers, the check of pending entries reports the waiting commands.
  if (workers.length === 0)
    return healthy('no worker was seen in the last 30 s, so there is nothing to compare');
  if (!first) {
    const running = workers.length === 1 ? '1 worker' : `${workers.length} workers`;
    return healthy(
      `a running worker knows the type of every open command (${running} seen in the last 30 s)`,
    );
  }
  const named = unknown
    .slice(0, MAX_NAMED)
    .map(
      ({ commandType, count, oldestMs }) => `${commandType} (${count}, oldest waiting ${duration(oldestMs)})`,
    );
  const more = unknown.length > MAX_NAMED ? `, and ${unknown.length - MAX_NAMED} more types` : '';
  const example = `one of them: ${shellCommand`inbox show ${first.example}` ?? JSON.stringify(first.example)}`;
  return unhealthy(
    `no running worker knows these command types: ${named.join(', ')}${more}`,
    `start a worker whose module defines them; until then their commands wait, and nothing is lost. If a sender misspelled ` +
      `the type, send the command again under a new message_id; ${example}`,
  );
}
