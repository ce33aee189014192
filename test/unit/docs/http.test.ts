/** docs/http.md: the addresses of problems lead to headings that exist and give the right status. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { documentedType, problem, PROBLEM_CODES } from '../../../src/http/problem.ts';
import { packageFile } from '../../../src/platform/package-files.ts';

describe('the documentation of HTTP problems', () => {
  it('has a heading for each kind, with its status', async () => {
    const page = await readFile(packageFile('docs/http.md'), 'utf8');
    const section = page.slice(page.indexOf('\n## Problems\n'), page.indexOf('\n## Security\n'));
    const documented = [...section.matchAll(/\n### (\S+)\n\n(\d+)\./g)].map(
      ([, code, status]) => `${code} ${status}`,
    );
    const existing = PROBLEM_CODES.map((code) => `${code} ${problem(code, '').status}`);
    assert.equal(documented.length, existing.length);
    assert.deepEqual(new Set(documented), new Set(existing));
  });

  it('is where the type of a problem leads', () => {
    assert.match(documentedType('invalid-json'), /\/docs\/http\.md#invalid-json$/);
  });
});
