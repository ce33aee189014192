import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { OperatorRequests } from '../../../workflows/operator-requests.ts';

const replay = (actor: string) => ({ kind: 'replay', request: { actor } }) as const;
const discard = (actor: string) => ({ kind: 'discard', request: { actor } }) as const;

function takeAll(requests: OperatorRequests): string[] {
  const all: string[] = [];
  for (let next = requests.take(); next; next = requests.take()) {
    all.push(`${next.kind} ${next.request.actor}`);
  }
  return all;
}

describe('operator requests', () => {
  it('are taken once each, in order of arrival', () => {
    const requests = new OperatorRequests();
    assert.equal(requests.waiting, false);
    requests.add(replay('a'));
    requests.add(discard('b'));
    assert.equal(requests.waiting, true);
    assert.deepEqual(takeAll(requests), ['replay a', 'discard b']);
    assert.equal(requests.waiting, false);
    assert.equal(requests.take(), undefined);
  });

  it('are empty when the signal has no argument', () => {
    const requests = new OperatorRequests();
    requests.add({ kind: 'replay', request: undefined });
    assert.deepEqual(requests.take(), { kind: 'replay', request: {} });
  });

  it('count as the running replay if they are replays; discards are kept for the next dead letter', () => {
    const requests = new OperatorRequests();
    requests.beginReplay();
    requests.add(replay('a'));
    requests.add(discard('b'));
    requests.add(replay('c'));
    assert.deepEqual(takeAll(requests), ['discard b']);
  });

  it('count as the replay that begins if they are replays that were already waiting', () => {
    const requests = new OperatorRequests();
    for (const request of [replay('a'), discard('b'), replay('c')]) requests.add(request);
    assert.equal(requests.take()?.request.actor, 'a');
    requests.beginReplay();
    assert.deepEqual(takeAll(requests), ['discard b']);
  });

  it('start a new replay after the previous replay has ended', () => {
    const requests = new OperatorRequests();
    requests.beginReplay();
    requests.add(replay('a'));
    requests.endReplay();
    requests.add(replay('b'));
    assert.deepEqual(takeAll(requests), ['replay b']);
  });

  it('remember that the entry was replayed, even after the replay has ended', () => {
    const requests = new OperatorRequests();
    requests.add(replay('a'));
    assert.equal(requests.replayed, false);
    requests.beginReplay();
    requests.endReplay();
    assert.equal(requests.replayed, true);
  });
});
