/**
 * Follows a campaign on the terminal until it pauses or ends.
 *
 * @module
 */
import cliProgress from 'cli-progress';
import type { Pool } from 'pg';
import type { CampaignSnapshot } from '../../core/campaign.ts';
import { failureShare, progressText, isCanary, countSettled } from '../../core/campaign.ts';
import { InboxError } from '../../core/errors.ts';
import { followCampaign } from '../../operations/index.ts';
import { answer, isJson, note, print, printable } from './output.ts';
import { canRedraw } from './terminal.ts';

/** Minimum time between two progress lines when there is no terminal for a progress bar. */
const LINE_INTERVAL_MS = 5_000;

/** @throws InboxError when the campaign did not finish: it was paused or aborted, or Ctrl-C stopped following it */
export async function follow(pool: Pool, id: string): Promise<void> {
  const stopFollowing = new AbortController();
  const onSignal = () => stopFollowing.abort();
  // A second signal ends the process at once, which does not affect the campaign either.
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  const display = canRedraw(process.stderr) && !isJson() ? showBar() : showLines();
  try {
    const snapshot = await followCampaign(pool, id, {
      onProgress: display.update,
      signal: stopFollowing.signal,
    });
    display.stop();
    if (snapshot.state === 'Running') {
      throw new InboxError(
        `campaign ${id} is still running; \`inbox campaigns follow ${id}\` follows it again`,
      );
    }
    answer(snapshot, () => print(`${snapshot.state}: ${progressText(snapshot)}`));
    if (snapshot.state !== 'Finished') throw new InboxError(describeEnd(snapshot));
  } finally {
    display.stop();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function describeEnd({ id, state, stateReason }: CampaignSnapshot): string {
  const why = stateReason ? `: ${printable(stateReason)}` : '';
  if (state === 'Aborted') return `campaign ${id} was aborted${why}`;
  return `campaign ${id} is paused${why}; \`inbox campaigns resume ${id}\` continues it, \`inbox campaigns abort ${id}\` ends it`;
}

interface Display {
  update: (snapshot: CampaignSnapshot) => void;
  stop: () => void;
}

function showBar(): Display {
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    format: '{bar} {percentage}%  {value} of {total}  {phase}  {failures}',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
  });
  let started = false;
  return {
    update(snapshot) {
      const payload = {
        phase: isCanary(snapshot) ? 'canary' : 'replay',
        failures: failureShare(snapshot.judged),
      };
      if (!started) bar.start(snapshot.total, 0, payload);
      started = true;
      bar.update(countSettled(snapshot), payload);
    },
    stop: () => bar.stop(),
  };
}

/** Prints lines for a log: rarely, and only when the counts have changed. */
function showLines(): Display {
  let last = '';
  let at = 0;
  return {
    update(snapshot) {
      const line = progressText(snapshot);
      if (line === last || Date.now() - at < LINE_INTERVAL_MS) return;
      last = line;
      at = Date.now();
      note(line);
    },
    stop() {},
  };
}
