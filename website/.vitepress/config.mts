import { existsSync, readFileSync } from 'node:fs';
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
        for (const token of state.tokens.flatMap(({ children }) => children ?? [])) {
          const href = token.type === 'link_open' ? token.attrGet('href') : null;
          if (href?.startsWith('../'))
            token.attrSet('href', `${REPOSITORY}/blob/main/${href.slice('../'.length)}`);
        }
      });
    },
  },
  vite: { plugins: [llms({ domain: undefined })] },
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
          page('Commands and handlers', '/handlers'),
          page('Modes', '/modes'),
          page('The outbox', '/outbox'),
        ],
      },
      {
        text: 'Operate',
        items: [
          page('Operating', '/operating'),
          page('Runbook', '/runbook'),
          page('A night on call', '/incident'),
          page('Alerts', '/alerts'),
          page('Troubleshooting', '/troubleshooting'),
        ],
      },
      {
        text: 'Run in production',
        items: [
          page('Security', '/security'),
          page('Deployment', '/deployment'),
          page('Upgrading', '/upgrading'),
          page('Performance', '/performance'),
          page('Reliability', '/reliability'),
        ],
      },
      {
        text: 'Reference',
        items: [page('Glossary', '/glossary'), page('Architecture', '/architecture')],
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
