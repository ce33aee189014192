import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PublishedEvent } from '../../../src/core/published-event.ts';
import {
  defaultSubject,
  headerValue,
  subjectProblem,
  subjectToken,
} from '../../../src/outbox/publishers/nats-subject.ts';

describe('NATS subjects and headers', () => {
  it('leave ordinary names unchanged', () => {
    const event = { aggregateType: 'bank_account-2', type: 'FundsTransferred' } as PublishedEvent;
    assert.equal(defaultSubject(event), 'inbox.bank_account-2.FundsTransferred');
    assert.equal(headerValue('a/b:c=d?{"e":1}'), 'a/b:c=d?{"e":1}');
  });

  it('encode separators, wildcards and line breaks in a token', () => {
    const names = ['a.b', 'a*', '>', 'a b', 'a\tb', 'a\r\nPUB x', '$JS', 'ü😀', '%2E', "~!'()", ''];
    const tokens = names.map((name) => subjectToken(name));
    for (const token of tokens) assert.match(token, /^[\w%-]+$/);
    assert.equal(new Set(tokens).size, names.length);
  });

  it('keep tokens short enough for a protocol line', () => {
    assert.equal(subjectToken('x'.repeat(5_000)).length, 200);
    assert.ok(subjectToken('😀'.repeat(5_000)).length <= 200);
  });

  it('are rejected if the server would close the connection or the subject has a wildcard', () => {
    for (const subject of ['a b', 'a\r\nPUB x', 'a..b', '', '.a', 'a.*', 'a.>', 'x'.repeat(2_049)]) {
      assert.notEqual(subjectProblem(subject), null, subject.slice(0, 10));
    }
    for (const subject of ['a.b', 'a*b', 'bank.%2A.ü']) assert.equal(subjectProblem(subject), null);
  });

  it('encode header values that decode to the original', () => {
    for (const value of ['100%', 'a b', 'a\r\nNats-Msg-Id: x', 'ü😀', '\u0000\u007f', '']) {
      assert.match(headerValue(value), /^[\x21-\x7e]*$/);
      assert.equal(decodeURIComponent(headerValue(value)), value);
    }
  });
});
