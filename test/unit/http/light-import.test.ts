/** The entry point for HTTP loads neither Temporal's packages nor a schema library nor a framework. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readSources } from '../../support/sources.ts';

describe('temporal-inbox/http', () => {
  it('loads pg, the API of OpenTelemetry and Node’s own modules, and no other package', async () => {
    const sources = new Map((await readSources(['src'])).map((source) => [source.path, source]));
    const loaded = new Set<string>();
    const packages = new Set<string>();
    const load = (path: string): void => {
      if (loaded.has(path)) return;
      loaded.add(path);
      for (const { target, typeOnly } of sources.get(path)!.imports) {
        if (typeOnly) continue;
        if (sources.has(target)) load(target);
        else packages.add(target);
      }
    };
    load('src/http/index.ts');
    assert.ok(loaded.has('src/sending/accept-messages.ts'), 'imports were followed');
    assert.deepEqual(
      [...packages].filter((name) => !name.startsWith('node:')),
      ['pg', '@opentelemetry/api'],
    );
  });
});
