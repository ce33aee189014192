import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { OperatorRequests } from '../../../workflows/operator-requests.ts';

const replay = (actor: string) => ({ kind: 'replay', request: { actor } }) as const;
const discard = (actor: string) => ({ kind: 'discard', request: { actor } }) as const;

function taken(requests: OperatorRequests): string[] {
  const all: string[] = [];
  for (let next = requests.take(); next; next = requests.take()) {
    all.push(`${next.kind} ${next.request.actor}`);
  }
  return all;
}

describe('operator requests', () => {
  it('are taken in the order they came, each once', () => {
    const requests = new OperatorRequests();
    assert.equal(requests.waiting, false);
    requests.add(replay('a'));
    requests.add(discard('b'));
    assert.equal(requests.waiting, true);
    assert.deepEqual(taken(requests), ['replay a', 'discard b']);
    assert.equal(requests.waiting, false);
    assert.equal(requests.take(), undefined);
  });

  it('without an argument are empty ones', () => {
    const requests = new OperatorRequests();
    requests.add({ kind: 'replay', request: undefined });
    assert.deepEqual(requests.take(), { kind: 'replay', request: {} });
  });

  it('a replay while one runs is that replay; a discard is kept for the next dead letter', () => {
    const requests = new OperatorRequests();
    requests.beginReplay();
    requests.add(replay('a'));
    requests.add(discard('b'));
    requests.add(replay('c'));
    assert.deepEqual(taken(requests), ['discard b']);
  });

  it('replays that waited when one began are that replay, too', () => {
    const requests = new OperatorRequests();
    for (const request of [replay('a'), discard('b'), replay('c')]) requests.add(request);
    assert.equal(requests.take()?.request.actor, 'a');
    requests.beginReplay();
    assert.deepEqual(taken(requests), ['discard b']);
  });

  it('a replay after the replay has ended is a new one', () => {
    const requests = new OperatorRequests();
    requests.beginReplay();
    requests.add(replay('a'));
    requests.endReplay();
    requests.add(replay('b'));
    assert.deepEqual(taken(requests), ['replay b']);
  });

  it('remember that the entry was replayed, also after the replay has ended', () => {
    const requests = new OperatorRequests();
    requests.add(replay('a'));
    assert.equal(requests.replayed, false);
    requests.beginReplay();
    requests.endReplay();
    assert.equal(requests.replayed, true);
  });
});
