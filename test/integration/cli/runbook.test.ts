/**
 * Runs every line of docs/runbook.md in order, against an inbox in the state that the heading describes.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';
import { failureGroups, listCampaigns, startCampaign } from '../../../src/operations/index.ts';
import { packageFile } from '../../../src/platform/package-files.ts';
import { createCli } from '../../support/cli.ts';
import type { Cli } from '../../support/cli.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { pay, unstable } from '../../support/runbook-commands.ts';

interface Recipe {
  title: string;
  lines: string[];
}

function readRecipes(): Recipe[] {
  const text = readFileSync(packageFile('docs/runbook.md'), 'utf8');
  return text
    .split(/^## /m)
    .slice(1)
    .map((part) => ({
      title: part.slice(0, part.indexOf('\n')),
      lines: [...part.matchAll(/^ {4}\$ inbox (.*)$/gm)].map(([, line]) => line!),
    }));
}

const COMMANDS = fileURLToPath(new URL('../../support/runbook-commands.js', import.meta.url));

describe('the runbook', () => {
  let fixture: TestInbox;
  let cli: Cli;
  let id = '';
  let group = '';
  let campaign = '';
  let count = 0;

  before(async () => {
    fixture = await createTestInbox();
    await fixture.pool.query('create table open_accounts (account text primary key)');
    await fixture.pool.query(`insert into open_accounts values ('open')`);
    cli = createCli(fixture);
    await fixture.startWorker([pay, unstable]);
  });
  after(() => fixture.close());

  async function createDeadLetters(howMany: number, account: string): Promise<void> {
    for (let index = 0; index < howMany; index += 1) {
      count += 1;
      id = fixture.id(`pay-${count}`);
      await fixture.start(id, { commandType: 'Pay', payload: { account } });
      await fixture.reaches(id, 'DeadLetter');
    }
    group = (await failureGroups(fixture.pool))[0]!.failureGroup;
  }
  const open = (account: string) =>
    fixture.pool.query('insert into open_accounts values ($1) on conflict do nothing', [account]);
  const openDeadLetters = async () =>
    (await rows(fixture.pool, 'select from inbox.dead_letters where resolution is null')).length;

  /** For each recipe: creates the situation that it is for, and checks that the recipe worked. */
  const scenes: Record<string, { begin: () => Promise<unknown>; end: () => Promise<unknown> }> = {
    'Find out what is wrong': {
      begin: () => createDeadLetters(1, 'closed'),
      end: async () => assert.equal(await openDeadLetters(), 1),
    },
    'One dead letter': {
      begin: () => open('closed'),
      end: () => fixture.reaches(id, 'Completed'),
    },
    'Many dead letters with the same cause': {
      begin: async () => {
        await createDeadLetters(8, 'many');
        await open('many');
      },
      end: async () => assert.equal(await openDeadLetters(), 0),
    },
    'The payload is wrong': {
      begin: () => createDeadLetters(1, 'misspelled'),
      end: () => fixture.reaches(id, 'Completed'),
    },
    'A command must never run': {
      begin: () => createDeadLetters(1, 'never'),
      end: async () => assert.equal(await openDeadLetters(), 1),
    },
    'A campaign goes wrong': {
      begin: async () => {
        await createDeadLetters(3, 'slow');
        const plan = { canary: 0, rate: 0.01, stopAbove: 1 };
        campaign = (await startCampaign(fixture, { filter: { commandType: 'Pay' }, ...plan })).id;
      },
      end: async () => {
        const [newest] = await listCampaigns(fixture.pool);
        assert.equal(newest!.state, 'Aborted');
      },
    },
    'Commands stay Pending': { begin: async () => {}, end: async () => {} },
    'A command is retried again and again': {
      begin: async () => {
        id = fixture.id('unstable');
        await fixture.start(id, { commandType: 'Unstable', payload: {} });
        await fixture.reaches(id, 'Failed');
      },
      end: async () => assert.equal((await fixture.entry(id))!.status, 'Failed'),
    },
    'Events are not published': { begin: async () => {}, end: async () => {} },
    'A transaction holds back vacuum': { begin: async () => {}, end: async () => {} },
    'Who did that?': { begin: async () => {}, end: async () => {} },
    'No alert arrived': { begin: async () => {}, end: async () => {} },
  };

  function argumentsOf(line: string): string[] {
    const filled = line
      .replaceAll('$ID', id)
      .replaceAll('$GROUP', group)
      .replaceAll('$CAMPAIGN', campaign)
      .replaceAll('commands.mjs', COMMANDS);
    return [...filled.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c!);
  }

  for (const { title, lines } of readRecipes()) {
    it(title, async () => {
      const scene = scenes[title];
      assert.ok(scene, `the test has a scene for ${title}`);
      await scene.begin();
      for (const line of lines) {
        const { code, stdout, stderr } = await cli.run(argumentsOf(line), { INBOX_ACTOR: 'ann' });
        // doctor reports open dead letters as unhealthy.
        const expected = line.startsWith('doctor') && (await openDeadLetters()) > 0 ? 1 : 0;
        assert.equal(code, expected, `inbox ${line}\n${stdout}${stderr}`);
        assert.notEqual(stdout + stderr, '', line);
      }
      await scene.end();
    });
  }

  it('has a recipe for every scene', () => {
    assert.deepEqual(
      readRecipes().map(({ title }) => title),
      Object.keys(scenes),
    );
  });
});
