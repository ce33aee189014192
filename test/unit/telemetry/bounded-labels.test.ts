/** Labels whose number of values is limited. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { boundedLabel } from '../../../src/telemetry/bounded-labels.ts';

describe('boundedLabel', () => {
  it('returns the first values as they are, and one label for all others', () => {
    const label = boundedLabel(2, 'other');
    assert.deepEqual(
      ['a', 'b', 'c', 'a', 'd'].map((value) => label(value)),
      ['a', 'b', 'other', 'a', 'other'],
    );
  });
});
