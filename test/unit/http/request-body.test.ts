import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { parseJson, readBody } from '../../../src/http/request-body.ts';
import { eventually } from '../../support/wait.ts';

/** A request whose body consists of so many chunks of 1,000 bytes. */
function requestOf(
  chunks: number,
  headers = {},
): { request: Request; given: () => number; canceled: () => boolean } {
  let given = 0;
  let canceled = false;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        await setImmediate();
        if (given === chunks) controller.close();
        else controller.enqueue(new Uint8Array(1_000));
        given += 1;
      },
      cancel() {
        canceled = true;
      },
    },
    { highWaterMark: 0 },
  );
  const request = new Request('http://localhost/', { method: 'POST', headers, body, duplex: 'half' });
  return { request, given: () => given, canceled: () => canceled };
}

const bytes = (text: string, encoding: BufferEncoding = 'utf8') => Buffer.from(text, encoding);

describe('the body of a request', () => {
  it('is read up to the limit', async () => {
    assert.equal((await readBody(requestOf(10).request, 10_000)).byteLength, 10_000);
    await assert.rejects(readBody(requestOf(10).request, 9_999), { status: 413, code: 'too-large' });
    assert.equal((await readBody(new Request('http://localhost/', { method: 'POST' }), 1)).byteLength, 0);
  });

  it('is not read at all if it says that it is too long', async () => {
    const { request, given } = requestOf(10, { 'content-length': '10000' });
    await assert.rejects(readBody(request, 9_999), { status: 413 });
    assert.equal(given(), 0);
  });

  it('is answered as soon as it is too long, and the rest is discarded', async () => {
    const { request, given, canceled } = requestOf(100);
    await assert.rejects(readBody(request, 5_500), { status: 413 });
    assert.ok(given() < 10, `${given()} chunks were read before the answer`);
    await eventually('the rest was read', () => given() === 101);
    assert.equal(canceled(), false);
  });

  it('is canceled if it does not end', async () => {
    const { request, given, canceled } = requestOf(Number.POSITIVE_INFINITY);
    await assert.rejects(readBody(request, 5_500), { status: 413 });
    await eventually('it was canceled', canceled);
    assert.ok(given() * 1_000 < 68_000_000);
  });

  it('is JSON in UTF-8', () => {
    assert.deepEqual(parseJson(bytes('{"a":1,"a":[2]}')), { a: [2] });
    assert.deepEqual(parseJson(bytes('\ufeff"\u00e9"')), 'é');
    for (const wrong of ['', '{', "{'a':1}", 'undefined', '{"a":1}x', '[NaN]'])
      assert.throws(() => parseJson(bytes(wrong)), { status: 400, code: 'invalid-json' });
    assert.throws(() => parseJson(bytes('"\xe9"', 'latin1')), { code: 'invalid-json' });
    assert.throws(() => parseJson(bytes('"\ud800"', 'utf16le')), { code: 'invalid-json' });
  });
});
