/**
 * How a bug is seeded: by a patch of what is said to Postgres, and of its answers.
 *
 * @module
 */
import { escapeLiteral } from 'pg';
import type { QueryResult } from 'pg';
import type { Patch, Statement } from '../support/patched-client.ts';
import type { MessageName } from './checker-scenario.ts';

export interface SeededBug {
  name: string;
  /** The names of the invariants that must be found broken begin with these. */
  breaks: string[];
  /** The names of other invariants that the bug can break begin with these. */
  mayBreak?: string[];
  seed: () => Seed;
  /** Run before the worker starts. */
  schema?: string;
  /** Bugs of one letter share a run, to save time: they break different invariants, and none hides another. */
  together: string;
  /** What can never get to its end with this bug, and is not waited for. */
  stuck?: MessageName[];
}

export interface Seed {
  patch: Patch;
  /** What has not been changed yet: a bug that touched nothing proves nothing, as when a statement got another text. */
  untouched: Set<string>;
  /** Run before the worker starts. */
  schema?: string;
  /** Run when all is settled; for what no path through the code can do. */
  corrupt?: string;
}

type Application = 'inbox attempts' | 'inbox looks' | 'inbox claims' | 'inbox records' | 'inbox outbox';

/** Replaces text in every statement of the pool that has it. */
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

/** Replaces text in a function of the schema; fails where the function does not have it. */
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

/** What both seeds do. */
export function both(one: Seed, other: Seed): Seed {
  return {
    get untouched() {
      return new Set([...one.untouched, ...other.untouched]);
    },
    patch: chain([one, other]),
    schema: [one.schema, other.schema].filter((sql) => sql !== undefined).join(';\n'),
  };
}

/** `what` is said once the bug has done its harm. */
export function custom(
  what: string,
  patch: (statement: Statement, done: () => void) => Promise<QueryResult>,
): Seed {
  const untouched = new Set([what]);
  return { untouched, patch: (statement) => patch(statement, () => void untouched.delete(what)) };
}

export function byHand(sql: string): Seed {
  return { untouched: new Set(), patch: ({ send }) => send(), corrupt: sql };
}

/** An answer that Postgres did not give. */
export const forged = (command: string, rowCount: number) =>
  ({ command, rowCount, rows: [], fields: [], oid: 0 }) as QueryResult;

/** As if each patched what the next one has left. */
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
