/** Every query of the dashboard and of the alert rules returns data after a real run with failures, in a real Prometheus. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { packageFile } from '../../../src/platform/package-files.ts';
import { createInbox } from '../../../src/sending/inbox.ts';
import type { Inbox } from '../../../src/sending/inbox-types.ts';
import { createTestInbox } from '../../support/inbox.ts';
import type { TestInbox } from '../../support/inbox.ts';
import { checkRules, startPrometheus, withoutPrometheus } from '../../support/prometheus.ts';
import type { PrometheusServer } from '../../support/prometheus.ts';
import { startProxy } from '../../support/proxy.ts';
import type { Proxy } from '../../support/proxy.ts';
import { expressOrder, workflowOrder } from '../../support/traced-commands.ts';
import { eventually } from '../../support/wait.ts';
import { startWorkerProcess } from '../../support/worker-process.ts';
import type { WorkerProcess } from '../../support/worker-process.ts';

interface Rule {
  alert: string;
  expr: string;
  annotations: { summary: string; runbook_url: string };
}
interface Dashboard {
  panels: { title: string; type: string; targets?: { expr: string }[] }[];
}

const file = (path: string) => packageFile(`deploy/observability/${path}`);
const ALERTS = await readFile(file('alerts.yml'), 'utf8');
const { groups } = parse(ALERTS) as { groups: { rules: Rule[] }[] };
const RULES = groups.flatMap(({ rules }) => rules);
const dashboard = JSON.parse(
  await readFile(file('grafana/dashboards/temporal-inbox.json'), 'utf8'),
) as Dashboard;

/** The rules without waiting times, because a test cannot wait for minutes. */
const QUICK_ALERTS = ALERTS.replaceAll(/for: \S+/g, 'for: 0s').replace('[5m]', '[1m]');

/** What Grafana replaces in a query. */
const filledIn = (expr: string) => expr.replaceAll('$__rate_interval', '1m').replaceAll('$type', '.*');

/** The metrics of an expression, with their labels. */
const selectorsOf = (expr: string) =>
  expr.match(/\b(?:inbox_\w+|temporal_\w+|messaging_\w+|up)\b(?:\{[^}]*\})?/g) ?? [];

describe('the rules and the dashboard of deploy/observability', { skip: withoutPrometheus }, () => {
  let fixture: TestInbox;
  let inbox: Inbox;
  let worker: WorkerProcess;
  let prometheus: PrometheusServer;
  let proxy: Proxy;

  before(async () => {
    fixture = await createTestInbox();
    inbox = await createInbox({ pool: fixture.pool });
    const publisher = fileURLToPath(new URL('../../support/counting-publisher.js', import.meta.url));
    const url = new URL(fixture.database.url);
    proxy = await startProxy(Number(url.port));
    url.port = String(proxy.port);
    const target = { database: { url: url.href }, taskQueue: fixture.taskQueue };
    worker = await startWorkerProcess(target, './traced-commands.js', {}, [
      '--http',
      '0',
      '--publish',
      publisher,
    ]);
    const address = /serving .* address=http:\/\/(\S+)/.exec(worker.log())![1]!;
    prometheus = await startPrometheus([address], QUICK_ALERTS);
  });
  after(async () => {
    await prometheus.stop();
    worker.kill('SIGTERM');
    await worker.ended;
    await proxy.close();
    await inbox.close();
    await fixture.close();
  });

  const firing = (alert: string) =>
    eventually(`${alert} fires`, async () => (await prometheus.firing()).includes(alert));
  const resolved = (alert: string) =>
    eventually(`${alert} is resolved`, async () => !(await prometheus.firing()).includes(alert));

  it('are accepted by promtool', () => {
    assert.match(checkRules(fileURLToPath(file('alerts.yml'))), new RegExp(`${RULES.length} rules found`));
  });

  it('link to recipes that exist', async () => {
    const runbook = await readFile(packageFile('docs/runbook.md'), 'utf8');
    const anchors = [...runbook.matchAll(/^## (.+)$/gm)].map(([, title]) =>
      title!
        .toLowerCase()
        .replaceAll(/[^\w\s-]/g, '')
        .replaceAll(' ', '-'),
    );
    const explained = await readFile(packageFile('docs/observability.md'), 'utf8');
    for (const { alert, annotations } of RULES) {
      const [, anchor] = annotations.runbook_url.split('docs/runbook.md#');
      assert.ok(anchors.includes(anchor!), `${alert}: the runbook has no ${anchor}`);
      assert.ok(explained.includes(`\`${alert}\``), `docs/observability.md does not explain ${alert}`);
    }
  });

  it('return data after a run with failures', async () => {
    const orders = Array.from({ length: 12 }, (_, index) => index);
    for (const n of orders) {
      const payload = { failures: n % 3, dies: n >= 6 };
      await inbox.send(n % 2 ? expressOrder : workflowOrder, {
        messageId: fixture.id(`order-${n}`),
        payload,
      });
    }
    for (const n of orders)
      await fixture.reaches(fixture.id(`order-${n}`), n >= 6 ? 'DeadLetter' : 'Completed');
    const queries = [
      ...dashboard.panels.flatMap(({ title, targets = [] }) =>
        targets.map(({ expr }) => [`panel ${title}`, filledIn(expr)] as const),
      ),
      // An alert's own expression returns nothing while it does not fire.
      ...RULES.flatMap(({ alert, expr }) =>
        selectorsOf(expr).map((selector) => [`alert ${alert}`, selector] as const),
      ),
    ];
    assert.ok(queries.length > 40);
    for (const [place, expr] of queries) {
      await eventually(`${place} has data: ${expr}`, async () => (await prometheus.query(expr)) > 0);
    }
  });

  it('fire for dead letters, and are resolved when nobody has to act any more', async () => {
    await firing('InboxDeadLettersOpen');
    await fixture.pool.query(
      `update inbox.dead_letters set resolution = 'discarded', resolved_at = now(), resolved_by = 'ann'`,
    );
    await resolved('InboxDeadLettersOpen');
  });

  it('fire for a flood of dead letters', async () => {
    const messages = Array.from({ length: 30 }, (_, index) => ({
      type: 'ExpressOrder',
      messageId: fixture.id(`flood-${index}`),
      payload: { dies: true },
    }));
    await inbox.sendMany(messages);
    await firing('InboxDeadLetterFlood');
    await firing('InboxMostAttemptsFail');
  });

  it('fire while no worker reaches Postgres, and are resolved when it is back', async () => {
    const { port } = proxy;
    await proxy.close();
    await firing('InboxDatabaseUnreachable');
    proxy = await startProxy(Number(new URL(fixture.database.url).port), port);
    await resolved('InboxDatabaseUnreachable');
  });

  it('fire while no worker runs', async () => {
    assert.ok(!(await prometheus.firing()).includes('InboxNoWorker'));
    worker.kill('SIGKILL');
    await worker.ended;
    await firing('InboxNoWorker');
  });
});
