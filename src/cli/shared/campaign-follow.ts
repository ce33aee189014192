/**
 * Follows a campaign on the terminal until it is paused or over.
 *
 * @module
 */
import cliProgress from 'cli-progress';
import type { Pool } from 'pg';
import type { CampaignSnapshot } from '../../core/campaign.ts';
import { failureShare, figuresText, isCanary, settledOf } from '../../core/campaign.ts';
import { InboxError } from '../../core/errors.ts';
import { followCampaign } from '../../operations/index.ts';
import { answer, isJson, note, print, printable } from './output.ts';
import { canRedraw } from './terminal.ts';

/** Between two lines where there is no terminal for a bar. */
const LINE_INTERVAL_MS = 5_000;

/** @throws InboxError when it did not get to its end: paused, aborted, or left by Ctrl-C */
export async function follow(pool: Pool, id: string): Promise<void> {
  const leave = new AbortController();
  const onSignal = () => leave.abort();
  // The second one ends the process at once, which is no harm to the campaign either.
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  const display = canRedraw(process.stderr) && !isJson() ? showBar() : showLines();
  try {
    const look = await followCampaign(pool, id, { onProgress: display.update, signal: leave.signal });
    display.stop();
    if (look.state === 'Running') {
      throw new InboxError(`campaign ${id} goes on; \`inbox campaigns follow ${id}\` follows it again`);
    }
    answer(look, () => print(`${look.state}: ${figuresText(look)}`));
    if (look.state !== 'Finished') throw new InboxError(ending(look));
  } finally {
    display.stop();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function ending({ id, state, stateReason }: CampaignSnapshot): string {
  const why = stateReason ? `: ${printable(stateReason)}` : '';
  if (state === 'Aborted') return `campaign ${id} was aborted${why}`;
  return `campaign ${id} is paused${why}; \`inbox campaigns resume ${id}\` goes on, \`inbox campaigns abort ${id}\` ends it`;
}

interface Display {
  update: (look: CampaignSnapshot) => void;
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
    update(look) {
      const payload = { phase: isCanary(look) ? 'canary' : 'replay', failures: failureShare(look.judged) };
      if (!started) bar.start(look.total, 0, payload);
      started = true;
      bar.update(settledOf(look), payload);
    },
    stop: () => bar.stop(),
  };
}

/** For a log: seldom, and only when there is news. */
function showLines(): Display {
  let last = '';
  let at = 0;
  return {
    update(look) {
      const line = figuresText(look);
      if (line === last || Date.now() - at < LINE_INTERVAL_MS) return;
      last = line;
      at = Date.now();
      note(line);
    },
    stop() {},
  };
}
