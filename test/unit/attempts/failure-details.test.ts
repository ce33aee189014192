import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { storedDetails } from '../../../src/attempts/failure-details.ts';
import { failureGroup, reportFailure } from '../../../src/attempts/failure-report.ts';
import { UnrecoverableError } from '../../../src/core/errors.ts';
import type { JsonObject } from '../../../src/core/json.ts';

describe('the details of a failure', () => {
  it('are stored as they are', () => {
    const details = { account: 'a', missing: { cents: 100 }, tried: ['x', null, true] };
    assert.deepEqual(storedDetails(details), details);
    assert.deepEqual(storedDetails({ a: 1, b: undefined }), { a: 1 });
  });

  it('lose secrets, by their form and by the name of their field', () => {
    const stored = storedDetails({
      url: 'postgres://bank:hunter2@db/bank',
      nested: [{ password: 'hunter2' }],
    });
    assert.doesNotMatch(JSON.stringify(stored), /hunter2/);
    assert.deepEqual((stored!['nested'] as JsonObject[])[0], { password: '***' });
  });

  for (const [what, details] of [
    ['none', {}],
    ['no object', 'text'],
    ['a list', [1]],
    ['undefined', undefined],
    ['a Date inside', { at: new Date() }],
    ['text that jsonb cannot hold', { text: 'a\u0000' }],
    ['a number that JSON cannot hold', { cents: Number.NaN }],
    ['more than 4 KB', { text: 'é'.repeat(2_001) }],
    [
      'a getter that throws',
      Object.defineProperty({ a: 1 }, 'b', {
        enumerable: true,
        get() {
          throw new Error('no');
        },
      }),
    ],
  ] as const) {
    it(`are null for ${what}`, () => assert.equal(storedDetails(details), null));
  }
});

const groupOf = (error: Error) => failureGroup('Pay', reportFailure(error));

describe('an UnrecoverableError', () => {
  it('reports its details', () => {
    assert.deepEqual(reportFailure(new UnrecoverableError('Closed', { account: 'a' })).details, {
      account: 'a',
    });
    assert.equal(reportFailure(new UnrecoverableError('Closed')).details, null);
    assert.equal(reportFailure(new Error('other')).details, undefined);
  });

  it('is grouped by its type and its own message, whatever its details are', () => {
    const [ann, bob] = [{ name: 'Ann Lee' }, { name: 'Bob Ray', note: 'a b' }];
    assert.equal(
      groupOf(new UnrecoverableError('Closed', ann)),
      groupOf(new UnrecoverableError('Closed', bob)),
    );
    assert.equal(
      groupOf(new UnrecoverableError('Closed', ann, { message: 'closed by the bank' })),
      groupOf(new UnrecoverableError('Closed', bob, { message: 'closed by the bank' })),
    );
    assert.notEqual(
      groupOf(new UnrecoverableError('Closed', ann, { message: 'closed by the bank' })),
      groupOf(new UnrecoverableError('Closed', ann, { message: 'closed by its owner' })),
    );
    assert.notEqual(groupOf(new UnrecoverableError('Closed')), groupOf(new UnrecoverableError('Frozen')));
  });
});
