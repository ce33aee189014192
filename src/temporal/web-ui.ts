/**
 * Links into Temporal's Web UI.
 *
 * @module
 */
import { MAX_KEYWORD_LENGTH, SEARCH_ATTRIBUTES } from '../core/protocol.ts';
import { cutText } from '../core/text.ts';

export interface WebUi {
  /** The address of the Web UI, such as `https://temporal.example.com`. It may have a path. */
  url: string;
  namespace: string;
}

/** Returns why a text cannot be the address of a Web UI; null if it can. */
export function webUiProblem(text: string): string | null {
  if (!URL.canParse(text)) return 'is not a URL; give one such as https://temporal.example.com';
  const { protocol, username, password, search, hash } = new URL(text);
  if (protocol !== 'https:' && protocol !== 'http:') return 'is neither an https nor an http URL';
  if (username !== '' || password !== '') return 'contains a user or a password, which every link would show';
  return search === '' && hash === ''
    ? null
    : 'has a query or a fragment; give only the address and the path';
}

/**
 * The page of the latest run of a workflow.
 *
 * @example
 * workflowLink({ url: 'https://temporal.example.com', namespace: 'default' }, 'order-1')
 */
export function workflowLink(ui: WebUi, workflowId: string): string {
  return `${workflowsOf(ui)}/${encodeURIComponent(workflowId)}`;
}

/** The list of all open dead letters. */
export function deadLettersLink(ui: WebUi): string {
  return listLink(ui, OPEN_DEAD_LETTERS);
}

/** The list of the open dead letters of one failure group. */
export function failureGroupLink(ui: WebUi, failureGroup: string): string {
  const group = cutText(failureGroup, MAX_KEYWORD_LENGTH);
  return listLink(ui, `${OPEN_DEAD_LETTERS}${groupCondition(group)}`);
}

/** The workflow of a discarded dead letter has ended and keeps its InboxStatus. */
const OPEN_DEAD_LETTERS = `${SEARCH_ATTRIBUTES.status}="DeadLetter" AND ExecutionStatus="Running"`;

function listLink(ui: WebUi, query: string): string {
  return `${workflowsOf(ui)}?query=${encodeURIComponent(query)}`;
}

function workflowsOf({ url, namespace }: WebUi): string {
  return `${url.replace(/\/+$/, '')}/namespaces/${encodeURIComponent(namespace)}/workflows`;
}

/**
 * Temporal cannot search for a value that contains a quotation mark or a backslash, however it is escaped (tried with 1.29 and
 * 1.32). The query then uses the part before it, and may also match other groups.
 */
function groupCondition(failureGroup: string): string {
  const searchable = /^[^"'\\]*/.exec(failureGroup)![0];
  if (searchable === '') return '';
  const comparison = searchable === failureGroup ? '=' : ' STARTS_WITH ';
  return ` AND ${SEARCH_ATTRIBUTES.failureGroup}${comparison}"${searchable}"`;
}
