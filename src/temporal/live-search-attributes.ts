/**
 * The search attributes that a running worker can use. They are checked again from time to time, because an operator can
 * register or remove some while the worker runs.
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

const SOME_UNUSABLE =
  'some search attributes are not usable: commands cannot be found by them, but run as usual';

export class LiveSearchAttributes implements UsableAttributes {
  readonly #options: LiveAttributesOptions;
  #usable = new Set<string>();
  /** The last problem that was logged, so that each is logged only once. */
  #logged = '';
  #hasLoggedRefusal = false;

  constructor(options: LiveAttributesOptions) {
    this.#options = options;
  }

  has(name: string): boolean {
    return this.#usable.has(name);
  }

  /** Checks which attributes are usable. Never rejects: attributes that have not been confirmed are not used. */
  async look(): Promise<void> {
    const { connection, namespace } = this.#options;
    try {
      const state = await inspectSearchAttributes(connection, namespace);
      this.#usable = new Set(state.usable);
      this.#hasLoggedRefusal = false;
      const found = describeProblems(state, namespace);
      this.#logOnce(found?.problem ?? '', found?.remedy ?? '');
    } catch (error) {
      // Attributes that were usable stay usable while Temporal is unavailable.
      const remedy = isDenied(error)
        ? 'allow this worker to list the search attributes of the namespace; if the server has no operator service, the worker runs without them'
        : 'the worker checks again every minute';
      this.#logOnce(`could not list the search attributes: ${messageOf(error)}`, remedy);
    }
  }

  /** Stops setting attributes until the next check. */
  refused(error: unknown): void {
    this.#usable.clear();
    if (this.#hasLoggedRefusal) return;
    this.#hasLoggedRefusal = true;
    const problem =
      'Temporal refused to start a workflow with search attributes; workflows are started without them';
    this.#options.log.warn(problem, { namespace: this.#options.namespace, error });
  }

  #logOnce(problem: string, remedy: string): void {
    const { log, namespace } = this.#options;
    if (problem === this.#logged) return;
    this.#logged = problem;
    if (problem === '') log.info('all search attributes are usable', { namespace });
    else log.warn(SOME_UNUSABLE, { problem, remedy, usable: this.list().join(',') || 'none', namespace });
  }

  list(): string[] {
    return ATTRIBUTE_NAMES.filter((name) => this.has(name));
  }
}
