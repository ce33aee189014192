/**
 * The search attributes that a running worker can use, looked up again from time to time: an operator may register them, or
 * remove one, while it runs.
 *
 * @module
 */
import type { CommandLog } from '../core/command-log.ts';
import { messageOf } from '../platform/error-message.ts';
import { ATTRIBUTE_NAMES, describeProblems, inspectSearchAttributes } from './search-attributes.ts';
import type { OperatorConnection, UsableAttributes } from './search-attributes.ts';
import { isDenied } from './workflow-description.ts';

export interface LiveAttributesOptions {
  connection: OperatorConnection;
  namespace: string;
  log: CommandLog;
}

const LACKING = 'commands cannot be found by search attributes that are not there; they run as usual';

export class LiveAttributes implements UsableAttributes {
  readonly #options: LiveAttributesOptions;
  #usable = new Set<string>();
  /** The problem that was logged last: each is logged once. */
  #logged = '';
  #isRefused = false;

  constructor(options: LiveAttributesOptions) {
    this.#options = options;
  }

  has(name: string): boolean {
    return this.#usable.has(name);
  }

  /** Looks again. Never rejects: what cannot be looked up is not used. */
  async look(): Promise<void> {
    const { connection, namespace } = this.#options;
    try {
      const state = await inspectSearchAttributes(connection, namespace);
      this.#usable = new Set(state.usable);
      this.#isRefused = false;
      const found = describeProblems(state, namespace);
      this.#note(found?.problem ?? '', found?.remedy ?? '');
    } catch (error) {
      // What was usable before stays usable while Temporal is away; the first look finds out.
      const remedy = isDenied(error)
        ? 'let this worker list the search attributes of the namespace; where the operator service is not offered, it works without'
        : 'it looks again every minute';
      this.#note(`the search attributes could not be listed: ${messageOf(error)}`, remedy);
    }
  }

  /** Sets none until the next look. */
  refused(error: unknown): void {
    this.#usable.clear();
    if (this.#isRefused) return;
    this.#isRefused = true;
    const problem =
      'Temporal refused a start because of its search attributes; commands are started without them';
    this.#options.log.warn(problem, { namespace: this.#options.namespace, error });
  }

  #note(problem: string, remedy: string): void {
    const { log, namespace } = this.#options;
    if (problem === this.#logged) return;
    this.#logged = problem;
    if (problem === '') log.info('all search attributes can be used', { namespace });
    else log.warn(LACKING, { problem, remedy, usable: this.list().join(',') || 'none', namespace });
  }

  list(): string[] {
    return ATTRIBUTE_NAMES.filter((name) => this.has(name));
  }
}
