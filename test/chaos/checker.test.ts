import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeFindings, violated } from './checker.ts';
import { runScenario } from './checker-scenario.ts';
import { SEEDED_BUGS } from './seeded-bugs.ts';

/** Each has a database and a worker of its own. */
const SIDE_BY_SIDE = 4;

describe('the checker', { concurrency: SIDE_BY_SIDE }, () => {
  it('finds nothing wrong with the inbox as it is', async () => {
    const { findings } = await runScenario(null);
    assert.deepEqual(violated(findings), [], describeFindings(findings));
  });

  for (const bug of SEEDED_BUGS) {
    it(`finds: ${bug.name}, by ${bug.breaks.join(', ')}`, async (test) => {
      const { findings, untouched } = await runScenario(bug);
      assert.deepEqual(untouched, [], 'statements that the bug is in');
      const found = violated(findings).map(({ name }) => name);
      test.diagnostic(`broken: ${found.map((name) => name.split(' ')[0]).join(', ')}`);
      for (const prefix of bug.breaks) {
        assert.ok(
          found.some((name) => name === prefix || name.startsWith(`${prefix} `)),
          `${prefix} does not notice it\n${describeFindings(findings)}`,
        );
      }
    });
  }
});
