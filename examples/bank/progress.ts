/**
 * Shows the progress of the feed: a bar on a terminal, otherwise a line every two seconds.
 *
 * @module
 */
import cliProgress from 'cli-progress';
import type { FeedProgress } from './feed.ts';

export interface ProgressDisplay {
  readonly update: (progress: FeedProgress) => void;
  readonly stop: () => void;
}

export type Output = NodeJS.WritableStream & { isTTY?: boolean };

const LINE_EVERY_MS = 2_000;

export function showProgress(out: Output, total: number): ProgressDisplay {
  return out.isTTY ? showBar(out, total) : showLines(out);
}

function showBar(out: Output, total: number): ProgressDisplay {
  const bar = new cliProgress.SingleBar({
    stream: out,
    format:
      '{bar} {value}/{total}  {completed} completed  {waiting} to be retried  {deadLetters} dead letters',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    hideCursor: true,
  });
  bar.start(total, 0, { completed: 0, waiting: 0, deadLetters: 0 });
  return {
    update: (progress) => bar.update(ended(progress), { ...progress }),
    stop: () => bar.stop(),
  };
}

function showLines(out: Output): ProgressDisplay {
  let shownAt = Date.now();
  let last: FeedProgress | undefined;
  const show = (progress: FeedProgress): void => {
    out.write(
      `${ended(progress)} of ${progress.total} done: ${progress.completed} completed, ` +
        `${progress.waiting} to be retried, ${progress.deadLetters} dead letters\n`,
    );
    last = undefined;
    shownAt = Date.now();
  };
  return {
    update(progress) {
      last = progress;
      if (Date.now() - shownAt >= LINE_EVERY_MS) show(progress);
    },
    // Always show the final state, however short the run was.
    stop: () => last && show(last),
  };
}

function ended(progress: FeedProgress): number {
  return progress.completed + progress.deadLetters;
}
