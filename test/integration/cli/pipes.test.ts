/** Different targets of stdout and stderr: pipes whose reader has exited, full disks, terminals. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { widthOf } from '../../../src/cli/shared/terminal.ts';
import { packageFile } from '../../../src/platform/package-files.ts';
import { CLI_MAIN, createCli } from '../../support/cli.ts';
import type { CliResult } from '../../support/cli.ts';
import type { TestDatabase } from '../../support/database.ts';
import { createTestDatabase } from '../../support/database.ts';
import { noTerminal, runOnTerminal } from '../../support/pty.ts';
import { seedMany, seedOpen } from '../../support/seed.ts';

const ID = '3ddf9f6a-0a2e-4c1c-be10-f8fb2cb2acbc';

describe('CLI output', () => {
  let database: TestDatabase;
  let folder: string;

  before(async () => {
    database = await createTestDatabase();
    folder = await mkdtemp(join(tmpdir(), 'inbox cli pipes '));
    await seedMany(
      database.pool,
      Array.from({ length: 2_000 }, (_, index) => `many-${index}`),
      { days: 2 },
    );
    await seedOpen(database.pool, ID, 'DeadLetter', { days: 1 });
    await seedOpen(database.pool, `注文-${ID}`, 'Failed', { days: 1 });
    await database.pool.query(`update inbox.entries set error = repeat('Broken: 口座 is closed ', 20),
      payload = jsonb_build_object('lines', jsonb_build_array(repeat('lorem ipsum ', 30)), 'total', 17)
      where error is not null`);
  });
  after(async () => {
    await rm(folder, { recursive: true });
    await database.drop();
  });

  const env = () => ({ DATABASE_URL: database.url, TEMPORAL_ADDRESS: '127.0.0.1:1' });
  const INBOX = `'${process.execPath}' '${CLI_MAIN}'`;

  /** Runs a shell script, and returns its stdout and stderr. */
  async function shell(script: string): Promise<{ stdout: string; stderr: string }> {
    const child = spawn('bash', ['-c', script], { env: { ...process.env, ...env() } });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    await once(child, 'close');
    return { stdout, stderr };
  }

  describe('in a pipe', () => {
    for (const command of ['list --limit 3000 --json', 'list --limit 3000', '--help']) {
      it(`exits without an error when the reader exits: inbox ${command} | true`, async () => {
        const { stdout, stderr } = await shell(`${INBOX} ${command} | true; echo "\${PIPESTATUS[0]}"`);
        assert.deepEqual({ stdout, stderr }, { stdout: '0\n', stderr: '' });
      });
    }

    it('prints the first line to head -1 and exits without an error', async () => {
      const { stdout, stderr } = await shell(
        `${INBOX} list --limit 2000 --json | head -1; echo "\${PIPESTATUS[0]}"`,
      );
      assert.deepEqual({ stdout, stderr }, { stdout: '[\n0\n', stderr: '' });
    });

    it('keeps the exit code of a failed command when nobody reads its output', async () => {
      const { stdout } = await shell(
        `${INBOX} show nobody 2>&-; echo "$?"; ${INBOX} doctor 2>&1 | true; echo "\${PIPESTATUS[0]}"`,
      );
      assert.equal(stdout, '1\n1\n');
    });

    it('loses nothing to a slow reader', async () => {
      const { stdout } = await shell(
        `${INBOX} list --limit 2000 --json | (sleep 0.5; cat) | node -e '
          let text = ""; process.stdin.on("data", (part) => (text += part)).on("end", () => console.log(JSON.parse(text).length))'`,
      );
      assert.equal(stdout, '2000\n');
    });

    it('reports that the output could not be written', async (test) => {
      if (process.platform !== 'linux') return test.skip('there is no /dev/full');
      for (const command of ['list --limit 3000', '--help']) {
        const { stdout, stderr } = await shell(`${INBOX} ${command} > /dev/full; echo "$?"`);
        assert.equal(stdout, '1\n');
        assert.match(
          stderr,
          /^inbox: the output could not be written \(.*ENOSPC.*\); changes that the command made are kept\n$/,
        );
      }
    });

    it('is neither cut nor colored', async () => {
      const { stdout } = await shell(`${INBOX} list --status Failed`);
      assert.ok(stdout.includes('Broken: 口座 is closed '.repeat(20).trimEnd()));
      // eslint-disable-next-line no-control-regex
      assert.doesNotMatch(stdout, /\u001b|…/);
      const forced = await shell(`FORCE_COLOR=1 ${INBOX} list --status Failed`);
      assert.ok(forced.stdout.includes('\u001b[33mFailed\u001b[39m'));
    });
  });

  const colored = async (more: Record<string, string>) => {
    const args = ['list', '--status', 'DeadLetter'];
    const { screen } = await runOnTerminal(args, { columns: 80, env: { ...env(), ...more } });
    assert.match(screen, /DeadLetter/);
    // eslint-disable-next-line no-control-regex
    return /\u001b\[/.test(screen);
  };

  describe('on a terminal', { skip: noTerminal() }, () => {
    const WIDE = [
      ['list', '--limit', '5'],
      ['show', ID, '--stack'],
    ];
    const NARROW = [
      ...WIDE,
      ['dead-letters'],
      ['dead-letters', 'groups'],
      ['dead-letters', 'show', ID],
      ['stats'],
      ['doctor'],
    ];
    for (const [columns, commands] of [
      [45, NARROW],
      [80, WIDE],
    ] as const) {
      it(`fits ${columns} columns`, async () => {
        const screens = await Promise.all(
          commands.map((args) => runOnTerminal(args, { columns, env: env() })),
        );
        for (const [index, { screen }] of screens.entries()) {
          const lines = stripVTControlCharacters(screen).split('\n');
          // Summary lines are also for logs, so the CLI doesn't wrap them.
          const tooWide = lines.filter((line) => widthOf(line) > columns && !/^(inbox|more): /.test(line));
          assert.deepEqual(tooWide, [], commands[index]!.join(' '));
          // eslint-disable-next-line no-control-regex
          assert.match(screen, /\u001b\[1m/, 'labels are bold');
        }
      });
    }

    it('uses colors unless NO_COLOR or TERM=dumb is set', async () => {
      assert.deepEqual(
        await Promise.all([colored({}), colored({ NO_COLOR: '1' }), colored({ TERM: 'dumb' })]),
        [true, false, false],
      );
    });

    it('prints a payload and an error on their own lines', async () => {
      const { code, screen } = await runOnTerminal(['show', ID], { columns: 80, env: env() });
      assert.equal(code, 0);
      const plain = stripVTControlCharacters(screen);
      assert.match(plain, /\nerror\n {2}Broken: 口座 is closed Broken/);
      assert.match(plain, /\npayload\n {2}\{\n {4}"lines": \[\n {6}"lorem ipsum/);
    });
  });

  describe('with --json', () => {
    it('prints only JSON on stdout and stderr, even when the command fails', async () => {
      const cli = createCli({ database, taskQueue: 'nobody' } as Parameters<typeof createCli>[0]);
      const cases: [args: string[], code: number, name: string | null][] = [
        [['list'], 0, null],
        [['show', ID], 0, null],
        [['stats'], 0, null],
        [['dead-letters'], 0, null],
        [['dead-letters', 'groups'], 0, null],
        [['dead-letters', 'show', ID], 0, null],
        [['campaigns'], 0, null],
        [['audit'], 0, null],
        [['migrate'], 0, null],
        [['prune', '--older-than', '99y', '--dry-run'], 0, null],
        [['doctor'], 1, 'InboxError'],
        [['show', 'nobody'], 1, 'UnknownMessageError'],
        [['campaigns', 'show', 'nobody'], 1, 'UnknownCampaignError'],
        [['replay', ID], 1, 'UnreachableError'],
        [['discard', ID], 1, 'UnreachableError'],
        [['restore', ID], 1, 'UnreachableError'],
        [['campaigns', 'pause', ID], 1, 'UnreachableError'],
        [['prune'], 2, 'UsageError'],
        [['list', '--limit', '0'], 2, 'UsageError'],
        [['replay'], 2, 'UsageError'],
        [['send'], 2, 'UsageError'],
      ];
      const results: CliResult[] = [];
      for (let from = 0; from < cases.length; from += 3) {
        const some = cases.slice(from, from + 3);
        const run = ([args]: (typeof cases)[number]) =>
          cli.run([...args, '--json'], { TEMPORAL_ADDRESS: '127.0.0.1:1' });
        results.push(...(await Promise.all(some.map(run))));
      }
      for (const [index, [args, code, name]] of cases.entries()) {
        const result = results[index]!;
        assert.equal(result.code, code, `${args.join(' ')} ${result.stderr}`);
        if (code === 0 || args[0] === 'doctor') JSON.parse(result.stdout);
        else assert.equal(result.stdout, '', args.join(' '));
        const lines = result.stderr.split('\n').filter((line) => line !== '');
        const last = lines
          .map((line) => JSON.parse(line) as { error?: { name: string; message: string } })
          .at(-1);
        assert.equal(last?.error?.name ?? null, name, args.join(' '));
      }
    });
  });

  describe('of an installed package', () => {
    it('works from a folder with spaces, through a symlink, in any working directory', async () => {
      const home = join(folder, 'node modules', 'temporal-inbox');
      for (const part of ['dist/src', 'dist/activities', 'dist/workflows', 'migrations', 'package.json']) {
        await cp(fileURLToPath(packageFile(part)), join(home, part), { recursive: true });
      }
      await symlink(fileURLToPath(packageFile('node_modules')), join(home, 'node_modules'));
      await symlink(join(home, 'dist/src/cli/main.js'), join(folder, 'inbox'));
      const { stdout, stderr } = await shell(
        `chmod +x "${home}/dist/src/cli/main.js"; cd /; PATH="${folder}:$PATH"; inbox --version && inbox migrate && inbox list --limit 1`,
      );
      assert.equal(stderr.replace(/^more: .*\n/, ''), '');
      assert.match(
        stdout,
        /^\d+\.\d+\.\d+\nthe inbox's schema is at version \d+, nothing to do\n MESSAGE ID/,
      );
    });
  });
});
