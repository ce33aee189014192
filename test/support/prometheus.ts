/**
 * A Prometheus server for a test, from the distribution.
 *
 * @module
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { choosePort } from '../../src/dev/process/ports.ts';
import { findExecutable, reasonToSkip } from './find-executable.ts';
import { eventually } from './wait.ts';

const prometheus = findExecutable('prometheus', process.env['PROMETHEUS_PATH']);
const promtool = findExecutable('promtool', process.env['PROMTOOL_PATH']);

/** The reason to skip tests that need Prometheus. */
export const withoutPrometheus = reasonToSkip(prometheus && promtool, 'Prometheus', 'prometheus');

export interface PrometheusServer {
  /** Evaluates an expression now. Returns the number of series, and throws for an invalid expression. */
  query(expression: string): Promise<number>;
  /** The names of the alerts that fire. */
  firing(): Promise<string[]>;
  stop(): Promise<void>;
}

/** Returns what `promtool check rules` says about a file; throws if it finds a mistake. */
export function checkRules(path: string): string {
  const { status, stdout, stderr } = spawnSync(promtool ?? 'promtool', ['check', 'rules', path], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${stdout}${stderr}`);
  return stdout;
}

/**
 * Scrapes these addresses every second.
 *
 * @param rules - the content of a rule file
 */
export async function startPrometheus(targets: readonly string[], rules: string): Promise<PrometheusServer> {
  if (prometheus === null) throw new Error('Prometheus is not installed: apt-get install -y prometheus');
  const folder = await mkdtemp(join(tmpdir(), 'inbox-prometheus-'));
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['rules.yml'],
    scrape_configs: [{ job_name: 'temporal-inbox', static_configs: [{ targets }] }],
  };
  // YAML includes JSON.
  await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(config));
  await writeFile(join(folder, 'rules.yml'), rules);
  const address = `127.0.0.1:${await choosePort()}`;
  const child = spawn(
    prometheus,
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${address}`,
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const ended = once(child, 'exit');

  async function ask<T>(path: string): Promise<T> {
    const response = await fetch(`http://${address}/api/v1/${path}`);
    const { status, error, data } = (await response.json()) as { status: string; error?: string; data: T };
    if (status !== 'success') throw new Error(error);
    return data;
  }

  const server: PrometheusServer = {
    async query(expression) {
      const { result } = await ask<{ result: unknown[] }>(`query?query=${encodeURIComponent(expression)}`);
      return result.length;
    },
    async firing() {
      const { alerts } = await ask<{ alerts: { state: string; labels: { alertname: string } }[] }>('alerts');
      const names = alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels.alertname);
      return [...new Set(names)].toSorted();
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
      await rm(folder, { recursive: true });
    },
  };
  try {
    await eventually(`Prometheus has scraped ${targets.join(', ')}`, async () => {
      if (child.exitCode !== null) throw new Error(`Prometheus ended: ${log}`);
      return (await server.query('up == 1')) === targets.length;
    });
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}
