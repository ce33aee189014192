/**
 * Describes a test's inbox when a wait has failed: rows, workflows and the workers' last log lines, without payloads.
 *
 * @module
 */
import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { Pool } from 'pg';
import type { CommandLog } from '../../src/core/command-log.ts';
import { createLog } from '../../src/platform/log.ts';
import { campaignWorkflowId } from '../../src/core/protocol.ts';

const MAXIMUM_ROWS = 40;
const MAXIMUM_WORKFLOWS = 10;
const LOG_LINES = 200;

export interface RecentLog {
  log: CommandLog;
  /** The last lines, oldest first. */
  lines: readonly string[];
}

/** Keeps the last lines in memory instead of printing them. */
export function createRecentLog(): RecentLog {
  const lines: string[] = [];
  const log = createLog('info', (line) => {
    lines.push(line);
    if (lines.length > LOG_LINES) lines.shift();
  });
  return { log, lines };
}

export interface DiagnosedInbox {
  pool: Pool;
  client: Client;
  /** One log for each worker, in the order in which the workers were started. */
  logs: readonly RecentLog[];
}

/** Returns one text with several sections. A section that cannot be read contains the error instead. */
export async function describeInbox({ pool, client, logs }: DiagnosedInbox): Promise<string> {
  const entries = await readOrError(() => openEntries(pool));
  const campaigns = await readOrError(() => rows<{ id: string }>(pool, CAMPAIGNS));
  const sections: [title: string, found: unknown[] | Error][] = [
    ['inbox.entries, unsettled ones first', entries],
    ['open dead letters', await readOrError(() => rows(pool, OPEN_DEAD_LETTERS))],
    ['campaigns', campaigns],
    ['campaign items whose replay was requested', await readOrError(() => rows(pool, CAMPAIGN_ITEMS))],
    ['workflows', await readOrError(() => describeWorkflows(client, workflowsOf(entries, campaigns)))],
    ...logs.map(({ lines }, index): [string, unknown[]] => [`log of worker ${index + 1}`, [...lines]]),
  ];
  return sections.map(([title, found]) => section(title, found)).join('\n');
}

const OPEN_ENTRIES = `
  select message_id, command_type, status, attempt, generation, retry_count, next_retry_at, error, received_at, claimed_at,
         relayed_at, processed_at
  from inbox.entries order by status = 'Completed', received_at desc limit ${MAXIMUM_ROWS}`;
const OPEN_DEAD_LETTERS = `
  select message_id, generation, reason, error, dead_at from inbox.dead_letters
  where resolution is null order by dead_at desc limit ${MAXIMUM_ROWS}`;
const CAMPAIGNS = `
  select id, state, state_reason, total, completed, failed, skipped, canary, rate, concurrency, judged_from, judged_since
  from inbox.campaigns order by id desc limit 5`;
const CAMPAIGN_ITEMS = `
  select campaign_id, position, message_id, asked_at, replayed_at, outcome, settled_at
  from inbox.campaign_items where asked_at is not null order by outcome is not null, asked_at desc limit ${MAXIMUM_ROWS}`;

interface OpenEntry {
  message_id: string;
  status: string;
}

function openEntries(pool: Pool): Promise<OpenEntry[]> {
  return rows<OpenEntry>(pool, OPEN_ENTRIES);
}

/** The IDs of the workflows of campaigns and of commands in progress. */
function workflowsOf(entries: OpenEntry[] | Error, campaigns: { id: string }[] | Error): string[] {
  const inProgress = entries instanceof Error ? [] : entries.filter(({ status }) => isInProgress(status));
  const ids = campaigns instanceof Error ? [] : campaigns.map(({ id }) => campaignWorkflowId(id));
  return [...ids, ...inProgress.slice(0, MAXIMUM_WORKFLOWS).map((entry) => entry.message_id)];
}

function isInProgress(status: string): boolean {
  return ['Pending', 'Processing', 'Failed'].includes(status);
}

function describeWorkflows(client: Client, ids: readonly string[]): Promise<object[]> {
  return Promise.all(ids.map((id) => describeWorkflow(client, id)));
}

async function describeWorkflow(client: Client, workflowId: string): Promise<object> {
  try {
    const { status, historyLength, raw } = await client.workflow.getHandle(workflowId).describe();
    return {
      workflowId,
      status: status.name,
      historyLength,
      pendingActivities: (raw.pendingActivities ?? []).map((activity) => ({
        type: activity.activityType?.name,
        state: activity.state,
        attempt: activity.attempt,
        lastWorker: activity.lastWorkerIdentity,
        lastFailure: activity.lastFailure?.message,
      })),
      pendingWorkflowTask: raw.pendingWorkflowTask?.attempt,
    };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return { workflowId, status: 'no such workflow' };
    throw error;
  }
}

async function rows<T extends object>(pool: Pool, sql: string): Promise<T[]> {
  const { rows: found } = await pool.query<T>(sql);
  return found;
}

async function readOrError<T>(read: () => Promise<T[]>): Promise<T[] | Error> {
  try {
    return await read();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function section(title: string, found: unknown[] | Error): string {
  if (found instanceof Error) return `${title}: could not be read: ${found.message}`;
  if (found.length === 0) return `${title}: none`;
  const lines = found.map((row) => `  ${typeof row === 'string' ? row : JSON.stringify(row)}`);
  return [`${title}:`, ...lines].join('\n');
}
