/**
 * A webhook receiver: a real HTTP server that verifies every signature with the official library. Tests can make it
 * misbehave.
 *
 * @module
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { Webhook } from 'standardwebhooks';

/** The body of a webhook, as docs/alerts.md describes it. */
export interface AlertBody {
  type: string;
  timestamp: string;
  data: {
    alertId: string;
    failureGroup: string;
    commandType: string;
    errorType: string;
    count: number;
    firstDeadAt: string;
    lastDeadAt: string;
    messageIds: string[];
    webUiUrl: string | null;
  };
}

export interface Post {
  id: string;
  path: string;
  headers: IncomingHttpHeaders;
  text: string;
  body: AlertBody;
  /** The number of earlier posts with this id. */
  repeats: number;
}

export type Behavior = (response: ServerResponse, request: IncomingMessage) => void;

export interface Receiver {
  url: string;
  posts: readonly Post[];
  /** The largest number of posts that were open at the same time. */
  readonly mostAtOnce: number;
  of(messageId: string): Post[];
  close(): Promise<void>;
}

export const SECRET = `whsec_${Buffer.from('a secret that only the tests know').toString('base64')}`;

export const answer =
  (status: number, headers: Record<string, string> = {}): Behavior =>
  (response) =>
    void response.writeHead(status, headers).end();

/** @param behave - chooses the answer to a post; by default, the receiver accepts it with 204 */
export async function startReceiver(
  behave: (post: Post) => Behavior = () => answer(204),
  secret = SECRET,
): Promise<Receiver> {
  const posts: Post[] = [];
  const verifier = new Webhook(secret);
  let open = 0;
  let mostAtOnce = 0;
  const server = createServer((request, response) => {
    open += 1;
    mostAtOnce = Math.max(mostAtOnce, open);
    response.on('close', () => (open -= 1));
    void receive(request).then(
      (post) => {
        posts.push(post);
        behave(post)(response, request);
      },
      () => void response.writeHead(401).end(),
    );
  });

  async function receive(request: IncomingMessage): Promise<Post> {
    const { headers, url } = request;
    const body = await text(request);
    const verified = verifier.verify(body, headers as Record<string, string>) as AlertBody;
    const id = String(headers['webhook-id']);
    const repeats = posts.filter((post) => post.id === id).length;
    return { id, path: url!, headers, text: body, body: verified, repeats };
  }
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/inbox`,
    posts,
    get mostAtOnce() {
      return mostAtOnce;
    },
    of: (messageId) => posts.filter(({ body }) => body.data.messageIds.includes(messageId)),
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
