import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkSettings } from '../../src/settings.ts';
import { settingsFromEnv } from '../../src/settings.ts';
import { ConfigurationError } from '../../src/core/errors.ts';

const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;

describe('settings in code', () => {
  it('are returned unchanged, without undefined ones', () => {
    assert.deepEqual(checkSettings({ concurrency: 4, taskQueue: undefined } as never), { concurrency: 4 });
    assert.deepEqual(checkSettings(undefined), {});
    const all = settingsFromEnv({});
    assert.deepEqual(checkSettings(all), all);
    const webhook = { url: 'http://127.0.0.1/hook', secrets: [SECRET] };
    assert.deepEqual(checkSettings({ webhook, watchdogMs: 0, shutdownGraceMs: 0 }), {
      webhook,
      watchdogMs: 0,
      shutdownGraceMs: 0,
    });
  });

  for (const [setting, value] of [
    ['taskQueue', ''],
    ['taskQueue', 5],
    ['taskQueue', 'x'.repeat(201)],
    ['maxPayloadBytes', 1_048_577],
    ['maxPayloadBytes', '1000'],
    ['concurrency', 0],
    ['concurrency', 1.5],
    ['concurrency', Number.NaN],
    ['concurrency', Infinity],
    ['concurrency', null],
    ['expressConcurrency', -1],
    ['retryConcurrency', 1_001],
    ['shutdownGraceMs', -1],
    ['shutdownGraceMs', '20s'],
    ['watchdogMs', 1_999],
    ['watchdogMs', 3_600_001],
    ['alertWindowMs', 86_400_001],
    ['alertGiveUpMs', 0],
    ['temporalUiUrl', 'temporal.example.com'],
    ['temporalUiUrl', 5],
    ['concurency', 8],
  ] as const) {
    it(`refuse ${setting} = ${String(value).slice(0, 20)} and name the setting`, () => {
      assert.throws(
        () => checkSettings({ [setting]: value }),
        (error: Error) => {
          assert.ok(error instanceof ConfigurationError);
          assert.ok(error.message.startsWith(`settings.${setting} `), error.message);
          return true;
        },
      );
    });
  }

  it('report all problems in one error', () => {
    const wrong = {
      concurrency: 0,
      retryConcurrency: 'many',
      unknown: true,
      webhook: { url: 'ftp://x', secrets: [] },
    };
    assert.throws(
      () => checkSettings(wrong as never),
      ({ message }: Error) => {
        for (const name of ['concurrency (0)', 'retryConcurrency ("many")', 'unknown is not a setting'])
          assert.ok(message.includes(`settings.${name}`), message);
        assert.match(message, /settings\.webhook\.url is neither an https nor an http URL/);
        assert.match(message, /settings\.webhook\.secrets is not set/);
        return true;
      },
    );
  });

  it('never repeat the webhook, which is secret', () => {
    for (const webhook of ['https://ada:hunter2@x', { url: 'https//ada:hunter2@x', secrets: ['hunter2'] }]) {
      assert.throws(
        () => checkSettings({ webhook } as never),
        ({ message }: Error) => /settings\.webhook/.test(message) && !message.includes('hunter2'),
      );
    }
  });
});
