import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeFindings, violated } from './checker.ts';
import { runScenario } from './checker-scenario.ts';
import { SEEDED_RUNS } from './seeded-bugs.ts';

/** Each has a database and a worker of its own, and mostly waits. */
const SIDE_BY_SIDE = 4;

describe('the checker', { concurrency: SIDE_BY_SIDE }, () => {
  it('finds nothing wrong with the inbox as it is', async () => {
    const { findings } = await runScenario([]);
    assert.deepEqual(violated(findings), [], describeFindings(findings));
  });

  for (const bugs of SEEDED_RUNS) {
    const breaks = bugs.flatMap((bug) => bug.breaks);
    it(`finds: ${bugs.map((bug) => `${bug.name} (${bug.breaks.join(', ')})`).join('; ')}`, async (test) => {
      const all = bugs.flatMap((bug) => [...bug.breaks, ...(bug.mayBreak ?? [])]);
      assert.equal(new Set(all).size, all.length, 'bugs of one run must not be taken for each other');
      const { findings, untouched } = await runScenario(bugs);
      assert.deepEqual(
        untouched,
        [],
        'a bug was not there: its statement never ran, or has another text now',
      );
      const found = violated(findings).map(({ name }) => name);
      test.diagnostic(`broken: ${found.map((name) => name.split(' ')[0]).join(', ')}`);
      for (const prefix of breaks) {
        assert.ok(
          found.some((name) => name === prefix || name.startsWith(`${prefix} `)),
          `${prefix} does not notice it\n${describeFindings(findings)}`,
        );
      }
    });
  }
});
