/**
 * The incident of docs/incident.md: a release breaks every transfer, and an operator repairs the bank with the command
 * line. With `WRITE_DOCS=1`, this test writes the commands and their output into docs/incident.md.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { checkConservation } from '../../../examples/bank/conservation.ts';
import { createBankSchema } from '../../../examples/bank/schema.ts';
import { packageFile } from '../../../src/platform/package-files.ts';
import { createCli } from '../../support/cli.ts';
import type { Cli } from '../../support/cli.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';
import { startWorkerProcess } from '../../support/worker-process.ts';
import type { WorkerProcess } from '../../support/worker-process.ts';

const TRANSFERS = 200;
const ACCOUNTS = 20;
const OPENING_CENTS = 1_000_000;
/** Two transfers that no account can pay, and one with a fraction of a cent. */
const UNPAYABLE = [77, 120];
const HALF_CENT = 163;
/** Paths relative to test/support, where worker processes are started. */
const BUGGY = './buggy-bank.js';
const FIXED = '../../examples/bank/commands.js';
const FIXED_PATH = 'dist/examples/bank/commands.js';

const id = (number: number) => `transfer-${String(number).padStart(3, '0')}`;
const account = (number: number) => `account-${number % ACCOUNTS}`;

describe('the bank, after a release that broke every transfer', () => {
  let fixture: TestInbox;
  let cli: Cli;
  let worker: WorkerProcess;
  let group = '';
  const page: string[] = [];

  before(async () => {
    fixture = await createTestInbox();
    await createBankSchema(fixture.pool);
    cli = createCli(fixture);
    worker = await startWorkerProcess(fixture, BUGGY);
  });
  after(async () => {
    worker.kill('SIGKILL');
    await worker.ended;
    await fixture.close();
    if (process.env['WRITE_DOCS']) await writeIntoDocs(page);
  });

  /** Runs a command, records it and its output for the page, and returns stdout. */
  async function runCommand(line: string, { code = 0, shown = 12 } = {}): Promise<string> {
    const args = [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c!);
    const result = await cli.run(args, { INBOX_LOG_LEVEL: 'error', INBOX_ACTOR: 'ann' });
    assert.equal(result.code, code, `inbox ${line}\n${result.stdout}${result.stderr}`);
    const lines = `${result.stdout}${code === 0 ? '' : result.stderr}`.trimEnd().split('\n');
    const cut = lines.length > shown ? [...lines.slice(0, 4), '…', ...lines.slice(4 - shown)] : lines;
    page.push(`    $ inbox ${line}`, ...cut.map((each) => `    ${each}`.trimEnd()), '');
    return result.stdout;
  }

  async function send(commands: object[]): Promise<void> {
    const input = commands.map((command) => JSON.stringify(command)).join('\n');
    const { code, stderr } = await cli.run(['send', '--file', '-'], {}, input);
    assert.equal(code, 0, stderr);
  }

  const counts = async () =>
    Object.fromEntries(
      (
        await rows<{ status: string; count: number }>(
          fixture.pool,
          `select status, count(*)::integer as count from inbox.entries where command_type = 'TransferFunds' group by status`,
        )
      ).map(({ status, count }) => [status, count]),
    );

  it('has 200 dead letters in one failure group', async () => {
    await send(
      Array.from({ length: ACCOUNTS }, (_, number) => ({
        messageId: `open-${account(number)}`,
        type: 'CreateAccount',
        payload: { accountId: account(number), owner: `Owner ${number}`, openingBalanceCents: OPENING_CENTS },
      })),
    );
    await eventually('all accounts are open', async () => {
      const open = await rows(fixture.pool, `select from inbox.entries where status = 'Completed'`);
      return open.length === ACCOUNTS;
    });
    await send(
      Array.from({ length: TRANSFERS }, (_, number) => ({
        messageId: id(number),
        type: 'TransferFunds',
        payload: {
          from: account(number),
          to: account(number + 7),
          amountCents: UNPAYABLE.includes(number)
            ? OPENING_CENTS * ACCOUNTS * 2
            : number === HALF_CENT
              ? 149.5
              : 100 + number,
        },
      })),
    );
    await eventually(
      'all transfers are dead letters',
      async () => (await counts())['DeadLetter'] === TRANSFERS,
    );
    await runCommand('dead-letters groups');
    const groups = await cli.json<{ failureGroup: string; count: number }[]>('dead-letters', 'groups');
    assert.deepEqual(
      groups.map(({ count }) => count),
      [TRANSFERS],
    );
    group = groups[0]!.failureGroup;
    assert.match(group, /^TransferFunds\/TypeError\//);
    await runCommand(`show ${id(0)}`, { shown: 60 });
  });

  it('shows with a dry run that the fix would complete 197 of the 200', async () => {
    worker.kill('SIGTERM');
    await worker.ended;
    const output = await runCommand(`dry-run --commands ${FIXED_PATH} --group ${group}`, {
      code: 1,
      shown: 18,
    });
    assert.match(output, /197 of 200 would complete; nothing was changed/);
    assert.deepEqual(await counts(), { DeadLetter: TRANSFERS });
    const { problems, depositedCents } = await checkConservation(fixture.pool);
    assert.deepEqual([problems, depositedCents], [[], BigInt(OPENING_CENTS * ACCOUNTS)]);
  });

  it('replays the dead letters with a campaign that starts with five', async () => {
    worker = await startWorkerProcess(fixture, FIXED);
    const line = `replay --group ${group} --canary 5 --rate 100 --stop-above 0.2 --reason 'limits fixed in 1.4.1' --yes`;
    const output = await runCommand(line);
    assert.match(output, /Finished/);
    assert.deepEqual(await counts(), { Completed: TRANSFERS - 3, DeadLetter: 3 });
    await runCommand('campaigns');
    const [campaign] = await cli.json<{ completed: number; failed: number; skipped: number }[]>('campaigns');
    assert.deepEqual([campaign!.completed, campaign!.failed, campaign!.skipped], [TRANSFERS - 3, 3, 0]);
    await runCommand('dead-letters list');
  });

  it('resolves the last three by a corrected payload, a deposit and a discard', async () => {
    const half = { from: account(HALF_CENT), to: account(HALF_CENT + 7), amountCents: 150 };
    await runCommand(
      `replay ${id(HALF_CENT)} --payload '${JSON.stringify(half)}' --reason 'the shop rounds half a cent up'`,
    );
    await runCommand(
      `send DepositFunds --id top-up-077 --payload '{"accountId":"${account(77)}","amountCents":50000000}'`,
    );
    await fixture.reaches('top-up-077', 'Completed');
    await runCommand(`replay ${id(77)} --reason 'account topped up'`);
    await runCommand(`discard ${id(120)} --reason 'the customer withdrew the transfer'`);
    for (const number of [77, HALF_CENT]) await fixture.reaches(id(number), 'Completed');
    await runCommand(`show ${id(HALF_CENT)}`, { shown: 60 });

    const open = await rows(fixture.pool, 'select from inbox.dead_letters where resolution is null');
    assert.equal(open.length, 0);
    assert.deepEqual(await counts(), { Completed: TRANSFERS - 1, DeadLetter: 1 });
  });

  it('has conserved all money', async () => {
    const { problems, balanceCents, depositedCents, accounts } = await checkConservation(fixture.pool);
    assert.deepEqual(problems, []);
    assert.equal(accounts, ACCOUNTS);
    assert.equal(balanceCents, depositedCents);
    assert.equal(depositedCents, BigInt(OPENING_CENTS * ACCOUNTS + 50_000_000));
  });
});

const DOCS = packageFile('docs/incident.md');

/** The page contains `<!-- output n -->` markers. Each is filled with the next n commands and their output. */
async function writeIntoDocs(lines: readonly string[]): Promise<void> {
  const text = await readFile(DOCS, 'utf8');
  const commands = lines.join('\n').split(/(?=^ {4}\$ )/m);
  let next = 0;
  const filled = text.replaceAll(
    /(<!-- output (\d+) -->\n)[^]*?(<!-- \/output -->)/g,
    (_all, begin: string, count: string, end: string) => {
      const some = commands.slice(next, next + Number(count));
      next += Number(count);
      return `${begin}\n${some.join('').trimEnd()}\n\n${end}`;
    },
  );
  assert.equal(next, commands.length, 'the page has a marker for every command');
  await writeFile(DOCS, filled);
}
