/**
 * Seeds bugs by patching the statements that go to Postgres, and its answers.
 *
 * @module
 */
import { escapeLiteral } from 'pg';
import type { QueryResult } from 'pg';
import type { Patch, Statement } from '../support/patched-client.ts';
import type { MessageName } from './checker-scenario.ts';

export interface SeededBug {
  name: string;
  /** Prefixes of the names of the invariants that must be violated. */
  breaks: string[];
  /** Prefixes of the names of other invariants that the bug can violate. */
  mayBreak?: string[];
  seed: () => Seed;
  /** SQL that runs before the worker starts. */
  schema?: string;
  /** Bugs with the same letter share a run, to save time. They violate different invariants, and none hides another. */
  together: string;
  /** Messages that can never end with this bug, so the scenario does not wait for them. */
  stuck?: MessageName[];
}

export interface Seed {
  patch: Patch;
  /**
   * Changes that have not been made yet. If one is left, the bug was not seeded, for example because a statement's text has
   * changed.
   */
  untouched: Set<string>;
  /** SQL that runs before the worker starts. */
  schema?: string;
  /** SQL that runs when everything has settled, for bugs that no path through the code can cause. */
  corrupt?: string;
}

type Application = 'inbox attempts' | 'inbox looks' | 'inbox claims' | 'inbox records' | 'inbox outbox';

/** Replaces text in the statements of a pool. */
export function rewrite(application: Application, ...changes: readonly (readonly [string, string])[]): Seed {
  const untouched = new Set(changes.map(([from]) => from));
  return {
    untouched,
    patch: ({ application: from, text, send }) =>
      from === application ? send(replaceAll(text, changes, untouched)) : send(),
  };
}

function replaceAll(
  text: string,
  changes: readonly (readonly [string, string])[],
  untouched: Set<string>,
): string {
  let changed = text;
  for (const [from, to] of changes) {
    if (!changed.includes(from)) continue;
    changed = changed.replaceAll(from, to);
    untouched.delete(from);
  }
  return changed;
}

/** Replaces text in a function of the schema. Fails if the function does not contain the text. */
export function rewriteFunction(name: string, ...changes: readonly (readonly [string, string])[]): Seed {
  const steps = changes.map(
    ([from, to]) => `
      if position(${escapeLiteral(from)} in body) = 0 then
        raise exception 'inbox.% has no %', ${escapeLiteral(name)}, ${escapeLiteral(from)};
      end if;
      body := replace(body, ${escapeLiteral(from)}, ${escapeLiteral(to)});`,
  );
  const schema = `do $seed$
    declare body text := pg_get_functiondef('inbox.${name}'::regproc);
    begin ${steps.join('')} execute body; end $seed$`;
  return { untouched: new Set(), patch: ({ send }) => send(), schema };
}

/** Combines two seeds. */
export function both(one: Seed, other: Seed): Seed {
  return {
    get untouched() {
      return new Set([...one.untouched, ...other.untouched]);
    },
    patch: chain([one, other]),
    schema: [one.schema, other.schema].filter((sql) => sql !== undefined).join(';\n'),
  };
}

/** Patches statements with a function, which calls `done` when the bug has happened. `what` describes the bug until then. */
export function custom(
  what: string,
  patch: (statement: Statement, done: () => void) => Promise<QueryResult>,
): Seed {
  const untouched = new Set([what]);
  return { untouched, patch: (statement) => patch(statement, () => void untouched.delete(what)) };
}

export function corruptAtEnd(sql: string): Seed {
  return { untouched: new Set(), patch: ({ send }) => send(), corrupt: sql };
}

/** An answer that Postgres did not send. */
export const forged = (command: string, rowCount: number) =>
  ({ command, rowCount, rows: [], fields: [], oid: 0 }) as QueryResult;

/** Applies all seeds to a statement: each one gets the statement as changed by the seed after it in the list. */
export function chain(seeds: readonly Seed[]): Patch {
  return seeds.reduce<Patch>(
    (next, seed) => (statement) =>
      seed.patch({
        ...statement,
        send: (text = statement.text, values = statement.values) => next({ ...statement, text, values }),
      }),
    (statement) => statement.send(statement.text, statement.values),
  );
}
