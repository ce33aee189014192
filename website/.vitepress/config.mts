import { existsSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { slug } from 'github-slugger';
import { defineConfig } from 'vitepress';
import type { DefaultTheme } from 'vitepress';
import llms from 'vitepress-plugin-llms';

const REPOSITORY = 'https://github.com/temporal-inbox/temporal-inbox';

/** Made by TypeDoc before the site is built. */
const API_SIDEBAR = new URL('../../docs/api/typedoc-sidebar.json', import.meta.url);
const apiItems: DefaultTheme.SidebarItem[] = existsSync(API_SIDEBAR)
  ? JSON.parse(readFileSync(API_SIDEBAR, 'utf8'))
  : [];

const module = (path: string) => fileURLToPath(new URL(`../node_modules/${path}`, import.meta.url));

const page = (text: string, link: string): DefaultTheme.SidebarItem => ({ text, link });

export default defineConfig({
  title: 'temporal-inbox',
  description:
    'A command inbox on Temporal and Postgres: accept once, handle in one transaction, retry, set aside, replay',
  srcDir: '../docs',
  outDir: './dist',
  cacheDir: './.cache',
  cleanUrls: true,
  lastUpdated: false,
  markdown: {
    // The same anchors as on GitHub, so that one link works in both places.
    anchor: { slugify: slug },
    config(md) {
      // Files outside of docs/ are not part of the site: link to the repository.
      md.core.ruler.push('repository-links', (state) => {
        const folder = posix.dirname(state.env.relativePath ?? '');
        for (const token of state.tokens.flatMap(({ children }) => children ?? [])) {
          const href = token.type === 'link_open' ? token.attrGet('href') : null;
          const target = href?.startsWith('../') ? posix.join(folder, href) : '';
          if (target.startsWith('../'))
            token.attrSet('href', `${REPOSITORY}/blob/main/${target.slice('../'.length)}`);
        }
      });
    },
  },
  // Addresses on the reader's own machine.
  ignoreDeadLinks: 'localhostLinks',
  vite: {
    plugins: [llms()],
    // The pages are outside of this folder, and import Vue from here.
    resolve: {
      alias: [
        { find: /^vue$/, replacement: module('vue/dist/vue.runtime.esm-bundler.js') },
        { find: /^vue\/server-renderer$/, replacement: module('vue/server-renderer/index.mjs') },
      ],
    },
  },
  themeConfig: {
    nav: [
      { text: 'Getting started', link: '/getting-started' },
      { text: 'Runbook', link: '/runbook' },
      { text: 'API', link: '/api/' },
    ],
    sidebar: [
      {
        text: 'Start',
        items: [
          page('What it is', '/introduction'),
          page('Getting started', '/getting-started'),
          page('Concepts', '/concepts'),
          page('States', '/states'),
        ],
      },
      {
        text: 'Build',
        items: [
          page('Sending', '/sending'),
          page('HTTP and webhooks', '/http'),
          page('Commands and handlers', '/handlers'),
          page('Adapters', '/adapters'),
          page('Testing', '/testing'),
          page('Modes', '/modes'),
          page('The outbox', '/outbox'),
        ],
      },
      {
        text: 'Operate',
        items: [
          page('Operating', '/operating'),
          page("Temporal's Web UI", '/web-ui'),
          page('Runbook', '/runbook'),
          page('A night on call', '/incident'),
          page('Alerts', '/alerts'),
          page('Observability', '/observability'),
          page('Troubleshooting', '/troubleshooting'),
        ],
      },
      {
        text: 'Run in production',
        items: [
          page('Security', '/security'),
          page('Deployment', '/deployment'),
          page('Upgrading', '/upgrading'),
          page('Compatibility', '/compatibility'),
          page('Performance', '/performance'),
          page('Reliability', '/reliability'),
        ],
      },
      {
        text: 'Reference',
        items: [
          page('Exports', '/exports'),
          page('Glossary', '/glossary'),
          page('Architecture', '/architecture'),
        ],
      },
      {
        text: 'Lab notes',
        collapsed: true,
        items: [
          page('Performance', '/internals/performance-notes'),
          page('Reliability', '/internals/reliability-notes'),
          page('Container images', '/internals/container-images'),
        ],
      },
      { text: 'API', link: '/api/', collapsed: true, items: apiItems },
    ],
    outline: { level: [2, 3] },
    search: { provider: 'local' },
    socialLinks: [{ icon: 'github', link: REPOSITORY }],
    editLink: { pattern: `${REPOSITORY}/edit/main/docs/:path` },
    footer: { message: 'MIT license' },
  },
});
