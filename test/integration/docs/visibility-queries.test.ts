/**
 * Temporal's server answers every visibility query that the docs and the command line show. Versions of Temporal differ in
 * what they accept, so `npm run compat` runs this against several of them.
 */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { packageFile } from '../../../src/platform/package-files.ts';
import { deadLettersLink, failureGroupLink } from '../../../src/temporal/web-ui.ts';
import { z } from 'zod';
import { defineCommand } from '../../../src/commands/define-command.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import { createTestInbox, rows } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { eventually } from '../../support/wait.ts';

const UI = { url: 'https://temporal.example.com/ui/', namespace: 'default' };

const dies = defineCommand({
  type: 'Dies"\\ quoted',
  schema: z.unknown(),
  handle() {
    throw new UnrecoverableError('Dead');
  },
});

/** Queries in the docs: the option of the `temporal` command, in single quotes. */
async function queriesOfDocs(): Promise<string[]> {
  const pages = (await readdir(packageFile('docs/'))).filter((page) => page.endsWith('.md'));
  const texts = await Promise.all(pages.map((page) => readFile(packageFile(`docs/${page}`), 'utf8')));
  return texts.flatMap((text) => [...text.matchAll(/--query '([^']+)'/g)].map(([, query]) => query!));
}

const queryOf = (link: string) => new URL(link).searchParams.get('query')!;

describe('a visibility query', () => {
  let inbox: TestInbox;

  before(async () => {
    inbox = await createTestInbox();
    await inbox.startWorker([dies]);
  });
  after(() => inbox.close());

  const count = async (query: string) => (await inbox.client.workflow.count(query)).count;

  it('of the docs is accepted', async () => {
    const queries = await queriesOfDocs();
    assert.ok(queries.length >= 5, `found ${queries.length}`);
    for (const query of queries) await assert.doesNotReject(count(query), query);
  });

  it('in a link finds the open dead letters, and those of one failure group, whatever is in its name', async () => {
    const id = inbox.id('dead');
    await inbox.client.workflow.start(dies.type, { workflowId: id, taskQueue: inbox.taskQueue, args: [{}] });
    await inbox.reaches(id, 'DeadLetter');
    const [{ failure_group: group } = { failure_group: '' }] = await rows<{ failure_group: string }>(
      inbox.pool,
      'select failure_group from inbox.dead_letters where message_id = $1',
      [id],
    );
    const links = [deadLettersLink(UI), failureGroupLink(UI, group)];
    for (const link of links) {
      const query = `${queryOf(link)} AND TaskQueue = '${inbox.taskQueue}'`;
      await eventually(`${query} finds it`, async () => (await count(query)) === 1);
    }
    await inbox.client.workflow.getHandle(id).signal('discard');
    for (const link of links) {
      const query = `${queryOf(link)} AND TaskQueue = '${inbox.taskQueue}'`;
      await eventually(`${query} no longer finds it`, async () => (await count(query)) === 0);
    }
  });
});
