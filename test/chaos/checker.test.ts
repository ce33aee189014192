import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeFindings, violated } from './checker.ts';
import { runScenario } from './checker-scenario.ts';
import { SEEDED_RUNS } from './seeded-bugs.ts';

const isNamed = (name: string, prefix: string) => name === prefix || name.startsWith(`${prefix} `);

/** Each run has its own database and worker, and mostly waits. */
const CONCURRENT_RUNS = 4;

describe('the checker', { concurrency: CONCURRENT_RUNS }, () => {
  it('finds no violation in the unmodified inbox', async () => {
    const { findings } = await runScenario([]);
    assert.deepEqual(violated(findings), [], describeFindings(findings));
  });

  for (const bugs of SEEDED_RUNS) {
    const breaks = bugs.flatMap((bug) => bug.breaks);
    it(`finds, and finds nothing else: ${bugs.map((bug) => `${bug.name} (${bug.breaks.join(', ')})`).join('; ')}`, async (test) => {
      const allowed = bugs.flatMap((bug) => [...bug.breaks, ...(bug.mayBreak ?? [])]);
      assert.equal(
        new Set(allowed).size,
        allowed.length,
        'the bugs of one run must break different invariants',
      );
      const { findings, untouched } = await runScenario(bugs);
      assert.deepEqual(
        untouched,
        [],
        'a bug was not seeded: its statement never ran, or its text has changed',
      );
      const found = violated(findings).map(({ name }) => name);
      test.diagnostic(`broken: ${found.map((name) => name.split(' ')[0]).join(', ')}`);
      for (const prefix of breaks) {
        assert.ok(
          found.some((name) => isNamed(name, prefix)),
          `invariant ${prefix} does not find the bug\n${describeFindings(findings)}`,
        );
      }
      const others = found.filter((name) => !allowed.some((prefix) => isNamed(name, prefix)));
      assert.deepEqual(others, [], `the bugs do not break these invariants\n${describeFindings(findings)}`);
    });
  }
});
