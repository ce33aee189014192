/** The log of `inbox worker`: formats and levels. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createWorkerLog } from '../../../src/cli/worker/worker-log.ts';

function linesWith(env: Record<string, string>): string[] {
  const lines: string[] = [];
  const log = createWorkerLog(env, (line) => lines.push(line.trimEnd()));
  log.debug('looked', { messageId: 'm-1' });
  log.info('done', { messageId: 'm-1', count: 2, none: undefined });
  log.warn('odd');
  log.error('failed', { error: new TypeError('the secret is 4711') });
  return lines;
}

describe('the log of a worker', () => {
  it('is text at level info by default', () => {
    const lines = linesWith({});
    assert.equal(lines.length, 3);
    assert.match(lines[0]!, /^\S+Z INFO  done messageId=m-1 count=2$/);
  });

  it('is JSON with INBOX_LOG=json', () => {
    const lines = linesWith({ INBOX_LOG: 'json' }).map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(
      lines.map(({ time, ...fields }) => {
        assert.ok(!Number.isNaN(Date.parse(String(time))));
        return fields;
      }),
      [
        { level: 'info', messageId: 'm-1', count: 2, msg: 'done' },
        { level: 'warn', msg: 'odd' },
        { level: 'error', error: 'TypeError', msg: 'failed' },
      ],
    );
  });

  for (const [level, count] of Object.entries({ debug: 4, info: 3, warn: 2, error: 1 })) {
    for (const format of ['text', 'json']) {
      it(`has ${count} of the lines at level ${level} as ${format}`, () => {
        assert.equal(linesWith({ INBOX_LOG: format, INBOX_LOG_LEVEL: level }).length, count);
      });
    }
  }

  it('refuses unknown formats and levels', () => {
    assert.throws(() => linesWith({ INBOX_LOG: 'yaml' }), /INBOX_LOG \("yaml"\) is none of text, json/);
    assert.throws(
      () => linesWith({ INBOX_LOG_LEVEL: 'loud' }),
      /INBOX_LOG_LEVEL \("loud"\) is none of debug, info, warn, error/,
    );
  });
});
