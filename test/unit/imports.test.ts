/**
 * Who may import whom, and what may stand where: 'Rooms' in the architecture, kept true.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { bundle } from '../support/bundle.ts';
import { readSource, readSources } from '../support/sources.ts';
import type { Import, Source } from '../support/sources.ts';

const PURE = [
  'campaign',
  'characters',
  'command',
  'envelope-shape',
  'errors',
  'json',
  'json-text',
  'look-alikes',
  'markdown',
  'outcome',
  'protocol',
  'retry',
  'shell',
  'text',
].map((name) => `src/${name}.ts`);
const isPure = (path: string) => PURE.includes(path);
const isIn = (path: string, ...rooms: string[]) => rooms.some((room) => path.startsWith(`${room}/`));

/** `file imports target` for every import of the files that is not allowed. */
function forbidden(files: Source[], allowed: (target: Import, file: Source) => boolean): string[] {
  return files.flatMap((file) =>
    file.imports
      .filter((target) => !allowed(target, file))
      .map(({ target }) => `${file.path} imports ${target}`),
  );
}

/** Statements of SQL, at the start of a literal. */
const SQL =
  /^\s*(select\s|insert\s+into\s|update\s+[\w.]+\s+(as\s+|\w\s+)?set\s|delete\s+from\s|with\s+\w+\s+as\s|(create|alter|drop)\s+(table|schema|index|type|function)\s|truncate\s|listen\s|notify\s|set\s+local\s|savepoint\s|(begin|commit|rollback)\s*;?\s*$)/i;
/** Who opens and ends transactions holds those words, the embedded server asks whether it is up, and nothing else. */
const ALLOWED_SQL: Record<string, string[]> = {
  'src/platform/postgres.ts': ['begin', 'commit', 'COMMIT', 'rollback'],
  'src/attempts/handler-transaction.ts': ['begin'],
  'src/attempts/run-attempt.ts': ['rollback'],
  'src/dev/postgres/server.ts': ['select 1', 'select 1 from pg_database where datname = $1'],
};

function sqlOutsideTheStore(files: Source[]): string[] {
  return files
    .filter(({ path }) => !isIn(path, 'src/store'))
    .flatMap(({ path, literals }) =>
      literals
        .filter((literal) => SQL.test(literal) && !ALLOWED_SQL[path]?.includes(literal))
        .map((literal) => `${path}: ${literal.trim().slice(0, 60)}`),
    );
}

const PUBLIC_NAMES =
  /^(handleCommand|replayCampaign|deliverAlert|InboxStatus|CommandType|CorrelationId|FailureGroup)$/;
/** A name given to Temporal as a literal: a workflow, signal, query or task queue. */
const NAMED_IN_PLACE =
  /\b(?:define(?:Signal|Query|Update)(?:<[^(]*>)?|workflow\s*\.\s*(?:start|execute|signalWithStart)|(?:h|H)andle\s*\.\s*(?:signal|query)(?:<[^(]*>)?)\(\s*['"`]|\b(?:signal|taskQueue):\s*['"`]/;

function namesOutsideTheProtocol(files: Source[]): string[] {
  return files
    .filter(({ path }) => path !== 'src/core/protocol.ts')
    .filter(
      ({ literals, code }) =>
        literals.some((literal) => PUBLIC_NAMES.test(literal)) || NAMED_IN_PLACE.test(code),
    )
    .map(({ path }) => path);
}

describe('the arrows between rooms', () => {
  let all: Source[];
  let shipped: Source[];

  before(async () => {
    all = await readSources(['src', 'activities', 'workflows', 'examples', 'test']);
    shipped = all.filter(({ path }) => isIn(path, 'src', 'activities', 'workflows'));
    assert.ok(shipped.length > 40, 'the sources were found');
  });

  it('pure files import only each other when the program runs', () => {
    const pure = all.filter(({ path }) => isPure(path));
    assert.equal(pure.length, PURE.length);
    assert.deepEqual(
      forbidden(pure, ({ target, typeOnly }) => typeOnly || isPure(target)),
      [],
    );
  });

  it('workflows import pure files and Temporal’s workflow API, and of activities only types', () => {
    const workflows = all.filter(({ path }) => isIn(path, 'workflows'));
    assert.ok(workflows.length > 3);
    assert.deepEqual(
      forbidden(
        workflows,
        ({ target, typeOnly }) =>
          isIn(target, 'workflows') ||
          isPure(target) ||
          ['@temporalio/workflow', '@temporalio/common'].includes(target) ||
          (typeOnly && isIn(target, 'activities')),
      ),
      [],
    );
  });

  it('activities know nothing of who runs them', () => {
    const activities = all.filter(({ path }) => isIn(path, 'activities'));
    const runners = ['src/worker.ts', 'src/sending/inbox.ts', 'src/index.ts'];
    assert.deepEqual(
      forbidden(
        activities,
        ({ target }) => !isIn(target, 'src/cli', 'src/dev', 'workflows') && !runners.includes(target),
      ),
      [],
    );
  });

  it('nobody imports the command line', () => {
    assert.deepEqual(
      forbidden(all, ({ target }, { path }) => !isIn(target, 'src/cli') || isIn(path, 'src/cli', 'test')),
      [],
    );
  });

  it('only the command line, tests and examples import the embedded servers', () => {
    assert.deepEqual(
      forbidden(
        all,
        ({ target }, { path }) =>
          !isIn(target, 'src/dev') || isIn(path, 'src/dev', 'src/cli', 'test', 'examples'),
      ),
      [],
    );
  });

  it('what is shipped imports neither tests nor examples', () => {
    assert.deepEqual(
      forbidden(shipped, ({ target }) => !isIn(target, 'test', 'examples')),
      [],
    );
  });

  it('SQL stands in src/store, and nowhere else', () => {
    // Two files read and replace the words that begin and end a handler's transactions.
    const words = ['src/attempts/transaction-control.ts: ', 'src/attempts/nested-transactions.ts: '];
    const found = sqlOutsideTheStore(shipped).filter((each) => !words.some((file) => each.startsWith(file)));
    assert.deepEqual(found, []);
  });

  it('names that Temporal knows stand in src/core/protocol.ts, and nowhere else', () => {
    assert.deepEqual(namesOutsideTheProtocol(shipped), []);
  });
});

const read = (...lines: string[]) => readSource('src/deep/file.ts', lines.join('\n'));

describe('the check of the arrows', () => {
  it('sees every kind of import', () => {
    const { imports } = read(
      "import a, { b } from '../command.ts';",
      "import type { C } from './c.ts';",
      "import 'node:fs';",
      'import {',
      '  d,',
      "} from 'pg';",
      "export { e } from './e.ts';",
      "export * from './f.ts';",
      "export type { G } from '../../workflows/g.ts';",
      "const h = await import('./h.ts');",
      "// import i from 'zod';",
      "/* import j from 'zod'; */",
    );
    assert.deepEqual(imports, [
      { target: 'src/commands/define-command.ts', typeOnly: false },
      { target: 'src/deep/c.ts', typeOnly: true },
      { target: 'node:fs', typeOnly: false },
      { target: 'pg', typeOnly: false },
      { target: 'src/deep/e.ts', typeOnly: false },
      { target: 'src/deep/f.ts', typeOnly: false },
      { target: 'workflows/g.ts', typeOnly: true },
      { target: 'src/deep/h.ts', typeOnly: false },
    ]);
  });

  it('sees SQL in any kind of literal, not in comments, and takes no sentence for a statement', () => {
    const found = sqlOutsideTheStore([
      read(
        "db.query('select 1');",
        'db.query("DELETE FROM inbox.entries");',
        'db.query(`',
        '  update inbox.entries set status = $1`);',
        'db.query(`with gone as (delete from x) select 1`);',
        "text.replace(/\"[^\"]*\"|'[^']*'|`[^`]*`/g, '?');",
        "db.query('commit');",
        "// db.query('select 2');",
        "throw new Error('update the package, select another, delete it or begin again');",
      ),
    ]);
    assert.equal(found.length, 5);
  });

  it('sees names outside the protocol', () => {
    for (const line of [
      "client.workflow.start('other', {})",
      "handle.signal('replay')",
      "handle.query<StatusReport>('status')",
      "defineSignal<[ReplayRequest?]>('replay')",
      "const options = { taskQueue: 'inbox' }",
      "start('handleCommand')",
    ]) {
      assert.deepEqual(namesOutsideTheProtocol([read(line)]), ['src/deep/file.ts'], line);
    }
    assert.deepEqual(
      namesOutsideTheProtocol([read("const kind = 'replay'; handle.signal(REPLAY_SIGNAL)")]),
      [],
    );
  });
});

/** Packages and files of ours in a bundle, by the headings that the bundler writes. */
function contents(code: string): { packages: string[]; ours: string[] } {
  const modules = [...code.matchAll(/!\*\*\* (\S+)/g)].map(([, path]) => path!);
  const packages = modules.map((path) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]);
  const ours = modules.map((path) => /^\.\/dist\/(.+)\.js$/.exec(path)?.[1]);
  return { packages: [...unique(packages)], ours: [...unique(ours)] };
}

function unique(names: (string | undefined)[]): Set<string> {
  return new Set(names.filter((name) => name !== undefined).sort());
}

describe('the workflow bundle', () => {
  it('has our workflows and pure files, Temporal and what it needs; no pg, no zod, no Node', async () => {
    // The bundler itself refuses Node's modules, and so does the sandbox.
    const { packages, ours } = contents((await bundle('workflows/index.js')).code);
    assert.deepEqual(packages, ['@temporalio/common', '@temporalio/workflow', 'long', 'ms', 'nexus-rpc']);
    assert.ok(ours.includes('workflows/handle-command') && ours.includes('src/protocol'), ours.join(', '));
    assert.deepEqual(
      ours.filter((path) => !isIn(path, 'workflows') && !isPure(`${path}.ts`)),
      [],
    );
  });

  it('would show zod, and cannot be made with Node’s modules', async () => {
    const { packages, ours } = contents((await bundle('test/support/zod-user.js')).code);
    assert.ok(packages.includes('zod'));
    assert.ok(ours.includes('test/support/zod-user'));
    await assert.rejects(bundle('src/attempts/failure-report.js'), /Webpack finished with errors/);
  });
});
