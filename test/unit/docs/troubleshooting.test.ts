/** docs/troubleshooting.md explains every error that people can meet. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import * as errors from '../../../src/core/errors.ts';
import { FAILURE } from '../../../src/core/protocol.ts';
import * as exported from '../../../src/index.ts';
import { packageFile } from '../../../src/platform/package-files.ts';

const page = await readFile(packageFile('docs/troubleshooting.md'), 'utf8');

describe('docs/troubleshooting.md', () => {
  for (const type of Object.values(FAILURE)) {
    it(`explains failures of type ${type}`, () => assert.ok(page.includes(`\`${type}\``)));
  }

  const classes = Object.entries(exported).filter(([name]) => name in errors && name.endsWith('Error'));
  for (const [name] of classes) {
    it(`explains ${name}`, () => assert.ok(page.includes(`\`${name}\``)));
  }
  it('knows the exported errors', () => assert.ok(classes.length > 15));
});
