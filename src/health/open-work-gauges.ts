/**
 * Metrics of open work, which are read from Postgres when an SDK asks for them. One worker at a time reports them.
 *
 * @module
 */
import { randomUUID } from 'node:crypto';
import type { BatchObservableResult, ObservableGauge } from '@opentelemetry/api';
import type { Pool } from 'pg';
import type { CommandLog } from '../core/command-log.ts';
import { OPERATOR_SETTINGS } from '../platform/connection-settings.ts';
import { createPool } from '../platform/postgres.ts';
import { RateLimitedWarning } from '../platform/rare-warning.ts';
import { releaseMetricsLease, takeMetricsLease } from '../store/metrics-lease.ts';
import type { CampaignItemCounts, OpenCount, OpenDeadLetterCounts } from '../store/open-work.ts';
import { countCampaignItems, countOpenGroups, countOpenWork, OPEN_STATUSES } from '../store/open-work.ts';
import type { OutboxLag } from '../store/outbox-lag.ts';
import { findOutboxLag } from '../store/outbox-lag.ts';
import { findVacuumHolders } from '../store/vacuum-holders.ts';
import { FAR_BEHIND } from './vacuum.ts';
import { MAX_TYPES, OTHER_TYPES } from '../telemetry/bounded-labels.ts';
import { METRIC } from '../telemetry/conventions.ts';
import { GaugeSeries } from '../telemetry/gauge-series.ts';
import type { Observation } from '../telemetry/gauge-series.ts';
import { meter } from '../telemetry/tracer.ts';

/** How many failure groups are reported by name. */
export const MAX_GROUPS = 20;
/** The label of all other failure groups. */
export const OTHER_GROUPS = '_other';

/** Two scrapes, or a scrape and a push, at nearly the same time read the tables once. */
const FRESH_MS = 5_000;
/** Longer than the usual intervals of scrapes and exports, which are up to a minute. */
const LEASE_MS = 90_000;
const QUERY_TIMEOUT_MS = 5_000;
/** Transactions younger than this are ordinary. */
const OLD_SNAPSHOT_MS = 10_000;

export interface OpenWorkOptions {
  databaseUrl: string;
  /** This worker's name. */
  identity: string;
  /** The types whose counts are also reported if they are 0. */
  types?: readonly string[];
  log: CommandLog;
  /** How long the figures are reused, in ms. Default 5 s. */
  freshMs?: number;
  /** Transactions younger than this are ordinary, in ms. Default 10 s. */
  oldSnapshotMs?: number;
}

interface OpenWork {
  counts: OpenCount[];
  deadLetters: OpenDeadLetterCounts;
  outbox: OutboxLag;
  campaigns: CampaignItemCounts;
  oldSnapshotMs: number;
}

/** Observes the open work until the returned function is called. Without an SDK, it opens no connection. */
export function observeOpenWork(options: OpenWorkOptions): () => Promise<void> {
  const reader = new OpenWorkReader(options);
  const own = meter();
  const gauges = createGauges();
  const series = new GaugeSeries();
  const observe = async (result: BatchObservableResult) => {
    const work = await reader.read();
    // Nothing, rather than zeros, if Postgres did not answer: alerts notice that the series are missing.
    if (work === 'unknown') return;
    series.observe(result, work ? observationsOf(gauges, work, options.types ?? []) : []);
  };
  const observables = Object.values(gauges);
  own.addBatchObservableCallback(observe, observables);
  return async () => {
    own.removeBatchObservableCallback(observe, observables);
    await reader.close();
  };
}

type Gauges = ReturnType<typeof createGauges>;

function gauge(name: string, description: string, unit: string): ObservableGauge {
  return meter().createObservableGauge(name, { description, unit });
}

function createGauges() {
  return {
    entries: gauge(METRIC.entries, 'Commands that are not finished, by type and status', '{command}'),
    oldestAge: gauge(METRIC.oldestAge, 'How long the oldest command of a status has waited', 's'),
    deadLetters: gauge(
      METRIC.openDeadLetters,
      `Open dead letters, by type and failure group; the ${MAX_GROUPS} largest groups by name`,
      '{command}',
    ),
    unpublished: gauge(METRIC.unpublished, 'Events that wait to be published', '{event}'),
    outboxAge: gauge(METRIC.outboxAge, 'How long the oldest of them has waited', 's'),
    campaignItems: gauge(
      METRIC.campaignItems,
      'Items of campaigns that are running or paused, by state',
      '{command}',
    ),
    oldSnapshotAge: gauge(
      METRIC.oldSnapshotAge,
      `How long the oldest transaction has held back vacuum; 0 below ${OLD_SNAPSHOT_MS / 1_000} s`,
      's',
    ),
  };
}

function observationsOf(gauges: Gauges, work: OpenWork, types: readonly string[]): Observation[] {
  const { groups, others } = work.deadLetters;
  const { total, completed, failed, skipped } = work.campaigns;
  const items = { completed, failed, skipped, remaining: total - completed - failed - skipped };
  return [
    ...[...byType(work.counts, types)].flatMap(([type, statuses]) =>
      [...statuses].map(([status, value]) => ({
        gauge: gauges.entries,
        value,
        attributes: { type, status },
      })),
    ),
    ...[...oldest(work)].map(([status, ms]) => ({
      gauge: gauges.oldestAge,
      value: ms / 1_000,
      attributes: { status },
    })),
    ...groups.map(({ commandType: type, failureGroup, count: value }) => ({
      gauge: gauges.deadLetters,
      value,
      attributes: { type, failure_group: failureGroup },
    })),
    ...(others === 0
      ? []
      : [
          {
            gauge: gauges.deadLetters,
            value: others,
            attributes: { type: OTHER_TYPES, failure_group: OTHER_GROUPS },
          },
        ]),
    ...outboxObservations(gauges, work.outbox),
    ...Object.entries(items).map(([state, value]) => ({
      gauge: gauges.campaignItems,
      value,
      attributes: { state },
    })),
    { gauge: gauges.oldSnapshotAge, value: work.oldSnapshotMs / 1_000, attributes: {} },
  ];
}

/** If no relay has ever published, Debezium or nothing reads the outbox, and its events never count as published. */
function outboxObservations(
  { unpublished, outboxAge }: Gauges,
  { count, oldestMs, relay, published }: OutboxLag,
): Observation[] {
  if (relay === null && !published) return [];
  return [
    { gauge: unpublished, value: count, attributes: {} },
    { gauge: outboxAge, value: (oldestMs ?? 0) / 1_000, attributes: {} },
  ];
}

const noneOpen = () => new Map<string, number>(OPEN_STATUSES.map((status) => [status, 0]));

/** The counts of the types with the most open commands, and of the given types; those of all other types together. */
function byType(counts: readonly OpenCount[], types: readonly string[]): Map<string, Map<string, number>> {
  const totals = new Map<string, number>(types.map((type) => [type, 0]));
  for (const { commandType, count } of counts)
    totals.set(commandType, (totals.get(commandType) ?? 0) + count);
  const largest = [...totals].toSorted(([, a], [, b]) => b - a).slice(0, MAX_TYPES);
  const result = new Map(largest.map(([type]) => [type, noneOpen()]));
  for (const { commandType, status, count } of counts) {
    const type = result.has(commandType) ? commandType : OTHER_TYPES;
    const statuses = result.get(type) ?? noneOpen();
    statuses.set(status, (statuses.get(status) ?? 0) + count);
    result.set(type, statuses);
  }
  return result;
}

/** The oldest command of each status, in ms. A status without commands has the age 0, so that alerts resolve. */
function oldest({ counts, deadLetters }: OpenWork): Map<string, number> {
  const ages = noneOpen();
  ages.set('DeadLetter', deadLetters.oldestMs ?? 0);
  for (const { status, oldestMs } of counts) ages.set(status, Math.max(ages.get(status)!, oldestMs ?? 0));
  return ages;
}

/** Reads the figures, at most every few seconds, and only while this worker holds the lease. */
class OpenWorkReader {
  readonly #options: OpenWorkOptions;
  readonly #holder = randomUUID();
  readonly #failed: RateLimitedWarning;
  #pool: Pool | null = null;
  #last: { at: number; work: Promise<OpenWork | 'unknown' | null> } | null = null;
  #isClosed = false;

  constructor(options: OpenWorkOptions) {
    this.#options = options;
    this.#failed = new RateLimitedWarning(
      options.log,
      'the metrics of open work could not be read from Postgres; the next scrape tries again',
    );
  }

  /** Null if another worker reports them; `unknown` if Postgres does not answer. Never rejects. */
  read(): Promise<OpenWork | 'unknown' | null> {
    const now = performance.now();
    const { freshMs = FRESH_MS } = this.#options;
    if (this.#last && now - this.#last.at < freshMs) return this.#last.work;
    const work = this.#read().catch((error: unknown) => {
      if (!this.#isClosed) this.#failed.happened({ error });
      return 'unknown' as const;
    });
    this.#last = { at: now, work };
    return work;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#last?.work;
    if (!this.#pool) return;
    await releaseMetricsLease(this.#pool, this.#holder).catch(() => {
      // The lease expires.
    });
    await this.#pool.end();
  }

  async #read(): Promise<OpenWork | null> {
    if (this.#isClosed) return null;
    // A connection of its own: these statements must not delay commands.
    this.#pool ??= createPool({
      connectionString: this.#options.databaseUrl,
      max: 1,
      applicationName: 'inbox metrics',
      settings: OPERATOR_SETTINGS,
      connectTimeoutMs: QUERY_TIMEOUT_MS,
      queryTimeoutMs: QUERY_TIMEOUT_MS,
    });
    const db = this.#pool;
    if (!(await takeMetricsLease(db, this.#holder, this.#options.identity, LEASE_MS))) return null;
    const [counts, deadLetters, outbox, campaigns, { holders }] = await Promise.all([
      countOpenWork(db),
      countOpenGroups(db, MAX_GROUPS),
      findOutboxLag(db, 0),
      countCampaignItems(db),
      findVacuumHolders(db, this.#options.oldSnapshotMs ?? OLD_SNAPSHOT_MS, FAR_BEHIND),
    ]);
    // Replication slots have no age, so this metric does not see them; `inbox doctor` does.
    const oldSnapshotMs = Math.max(0, ...holders.map(({ ageMs }) => ageMs ?? 0));
    return { counts, deadLetters, outbox, campaigns, oldSnapshotMs };
  }
}
