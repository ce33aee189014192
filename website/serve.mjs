/** `npm run serve`: the built site on http://127.0.0.1:8080, and on no other interface (`vitepress preview` listens on all). */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('dist/', import.meta.url));
const TYPES = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.md': 'text/markdown; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.woff2': 'font/woff2',
};

async function find(path) {
  for (const candidate of [path, `${path}.html`, join(path, 'index.html')]) {
    const file = join(ROOT, normalize(`/${candidate}`));
    if ((await stat(file).catch(() => null))?.isFile()) return file;
  }
  return null;
}

const port = Number(process.argv[2] ?? 8080);
const server = createServer((request, response) => {
  answer(request, response).catch((error) => response.destroy(error));
});

async function answer({ url }, response) {
  const file = await find(decodeURIComponent(new URL(url, 'http://localhost').pathname));
  const type = TYPES[extname(file ?? '404.html')] ?? 'application/octet-stream';
  response.writeHead(file ? 200 : 404, { 'content-type': type });
  createReadStream(file ?? join(ROOT, '404.html')).pipe(response);
}

server.listen(port, '127.0.0.1', () => process.stdout.write(`http://127.0.0.1:${port}\n`));
