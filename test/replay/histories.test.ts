/**
 * History replay: the current workflow code must produce the commands that are in the recorded histories. Dead letters stay
 * open for months, and an incompatible change would make their workflow tasks fail forever.
 */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { before, describe, it } from 'node:test';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { packageFile } from '../../src/platform/package-files.ts';
import { bundle } from '../support/bundle.ts';

interface History {
  events: {
    activityTaskScheduledEventAttributes?: { activityType: { name: string } };
    markerRecordedEventAttributes?: { details: Record<string, { payloads: { data: string }[] }> };
  }[];
}

const FOLDER = packageFile('test/replay/histories/');
/** Open workflows still have such histories, so none of these files may be deleted. */
const EXPECTED = [
  'alert-given-up',
  'alert-told',
  'campaign-finished',
  'completed',
  'completed-from-postgres',
  'conflict',
  'dead-cancelled',
  'dead-discarded',
  'dead-parked',
  'dead-replayed-by-campaign',
  'dead-replayed-completed',
  'dead-replayed-dead-discarded',
  'dead-replayed-with-payload',
  'dead-terminated-replayed',
  'duplicate',
  'exhausted-parked',
  'failed-cancelled',
  'long-running-completed',
  'recorded',
  'recorded-verified',
  'refused',
  'retried-completed',
  'typed-completed',
  'typed-conflict',
  'typed-dead-discarded',
  'typed-dead-parked',
  'typed-exhausted-replayed',
  'typed-from-postgres',
  'typed-recorded',
  'typed-refused',
  'typed-unknown',
];
const names = (await readdir(FOLDER)).map((file) => file.replace(/\.json$/, '')).sort();

async function read(name: string): Promise<{ text: string; history: History }> {
  const text = await readFile(new URL(`${name}.json`, FOLDER), 'utf8');
  return { text, history: JSON.parse(text) as History };
}

describe('history replay', () => {
  let workflowBundle: { code: string };

  before(async () => {
    Runtime.install({ logger: new DefaultLogger('ERROR', () => {}), shutdownSignals: [] });
    workflowBundle = await bundle('workflows/index.js');
  });

  it('finds exactly the recorded histories', () => {
    assert.deepEqual(names, EXPECTED);
  });

  for (const name of names) {
    it(`accepts ${name}`, async () => {
      const { history } = await read(name);
      await Worker.runReplayHistory({ workflowBundle }, history, name);
    });
  }

  for (const name of [
    'completed',
    'retried-completed',
    'dead-parked',
    'dead-replayed-completed',
    'typed-completed',
    'typed-exhausted-replayed',
  ]) {
    it(`rejects ${name} if it contains another activity`, async () => {
      const tampered = renameActivities((await read(name)).history);
      await assert.rejects(
        Worker.runReplayHistory({ workflowBundle }, tampered, name),
        DeterminismViolationError,
      );
    });
  }

  it("rejects a history in which the dead letter's wait is missing", async () => {
    const { history } = await read('dead-replayed-completed');
    const without = history.events.filter((event) => !('timerStartedEventAttributes' in event));
    assert.ok(without.length < history.events.length);
    await assert.rejects(Worker.runReplayHistory({ workflowBundle }, { events: without }, 'tampered'));
  });

  for (const name of names) {
    it(`finds no traces of the recording machine in ${name}`, async () => {
      const { text, history } = await read(name);
      assert.doesNotMatch(text, /file:\/\/|node_modules|\d+@|"identity": "(?!worker")/);
      for (const data of text.matchAll(/"data": "([^"]*)"/g)) {
        assert.doesNotMatch(Buffer.from(data[1]!, 'base64').toString(), /file:\/\/|node_modules|\d+@/);
      }
      assert.ok(text.length < 60_000, 'small enough to read');
      assert.ok(history.events.length > 3);
    });
  }
});

/** Renames the recorded activities, as if the current workflow called activities with other names. */
function renameActivities(history: History): History {
  const tampered = structuredClone(history);
  let renamed = 0;
  for (const {
    activityTaskScheduledEventAttributes: scheduled,
    markerRecordedEventAttributes: marker,
  } of tampered.events) {
    if (scheduled) {
      scheduled.activityType.name = 'another';
      renamed += 1;
    }
    for (const payload of marker?.details['data']?.payloads ?? []) {
      const data = Buffer.from(payload.data, 'base64').toString();
      payload.data = Buffer.from(data.replace('firstAttempt', 'another')).toString('base64');
      renamed += 1;
    }
  }
  assert.ok(renamed > 0, 'there was an activity to rename');
  return tampered;
}
