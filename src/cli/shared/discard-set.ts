import cliProgress from 'cli-progress';
import type { Command } from 'commander';
import { InboxError } from '../../core/errors.ts';
import { discardAll, previewReplay } from '../../operations/index.ts';
import type { BulkDiscard } from '../../operations/index.ts';
import type { DeadLetterFilter } from '../../operations/index.ts';
import { shellCommand } from '../../core/shell.ts';
import { confirm, showPreview } from './confirm.ts';
import { withServers } from './context.ts';
import { answer, isJson, note, print } from './output.ts';
import { canRedraw } from './terminal.ts';

export interface DiscardSetOptions {
  actor: string;
  reason?: string;
  yes?: boolean;
}

/** Shows what would be discarded, asks for confirmation, and discards it. */
export async function discardSet(
  command: Command,
  filter: DeadLetterFilter,
  { actor, reason, yes }: DiscardSetOptions,
): Promise<void> {
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  await withServers(async (servers) => {
    const preview = await previewReplay(servers.pool, filter);
    showPreview(preview);
    const nothing = { total: preview.total, discarded: 0, skipped: 0, pending: 0, left: preview.total };
    if (preview.total === 0) return answer(nothing, () => {});
    if (!(await confirm(command, `Discard these ${preview.total} dead letters?`, yes ?? false))) {
      return answer(nothing, () => note('nothing was discarded'));
    }
    process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
    const bar = showBar();
    const done = await discardAll(servers, filter, {
      actor,
      ...(reason !== undefined && { reason }),
      onProgress: bar.update,
      signal: stop.signal,
    }).finally(() => {
      bar.stop();
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    });
    report(done);
  });
}

function report(done: BulkDiscard): void {
  answer(done, () => print(`${done.discarded} discarded, ${done.skipped} resolved by someone else`));
  if (done.pending > 0) {
    throw new InboxError(
      `${done.pending} requests were sent to Temporal, but no worker has processed them yet; ${done.left} more were not sent. ` +
        'A worker processes the requests as soon as one runs on this task queue',
    );
  }
  if (done.taken > 0) {
    throw new InboxError(
      `${done.taken} were not discarded, because another workflow in the namespace uses their message_id as its workflow ID; ` +
        describeExample(done.takenExample ?? ''),
    );
  }
  if (done.left > 0) throw new InboxError(`${done.left} are left; run the same command again to continue`);
}

function describeExample(messageId: string): string {
  const show = shellCommand`inbox show ${messageId}`;
  return show === null
    ? `\`inbox show\` names that workflow, for example for ${JSON.stringify(messageId)}`
    : `to see one of those workflows: ${show}`;
}

function showBar(): { update: (progress: BulkDiscard) => void; stop: () => void } {
  if (!canRedraw(process.stderr) || isJson()) return { update() {}, stop() {} };
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    format: '{bar} {percentage}%  {value} of {total}',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
  });
  bar.start(1, 0);
  return {
    update({ total, left }) {
      bar.setTotal(total);
      bar.update(total - left);
    },
    stop: () => bar.stop(),
  };
}
