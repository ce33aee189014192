/**
 * Checks the options of an endpoint when it is created, so that a mistake shows at startup and not with the first request.
 *
 * @module
 */
import { ConfigurationError } from '../core/errors.ts';
import { isWhole, unknownOptions } from '../platform/option-checks.ts';

/** Returns what is wrong with the value of an option, or null. */
type Rule = (value: unknown) => string | null;

/** @throws ConfigurationError naming every option that is unknown or breaks its rule */
export function checkOptions(where: string, given: unknown, rules: Record<string, Rule>): void {
  if (typeof given !== 'object' || given === null) {
    throw new ConfigurationError(`${where} needs an object with options`);
  }
  const values = given as Record<string, unknown>;
  const unknown = unknownOptions(values, Object.keys(rules), where);
  const wrong = Object.entries(rules).flatMap(([name, rule]) => {
    const problem = rule(values[name]);
    return problem === null ? [] : [`${name} ${problem}`];
  });
  const problems = [...unknown, ...wrong];
  if (problems.length > 0) throw new ConfigurationError(`${where}: ${problems.join('; ')}`);
}

export const optional =
  (rule: Rule): Rule =>
  (value) =>
    value === undefined ? null : rule(value);

export const aFunction: Rule = (value) => (typeof value === 'function' ? null : 'must be a function');

/** @param unit - what the number counts, such as `bytes` */
export const wholeNumber =
  (min: number, max: number, unit: string): Rule =>
  (value) =>
    isWhole(value, min, max) ? null : `must be a whole number of ${unit} from ${min} to ${max}`;

export const objectWith =
  (what: string, ...methods: string[]): Rule =>
  (value) => {
    const found = (value ?? {}) as Record<string, unknown>;
    return methods.every((name) => typeof found[name] === 'function') ? null : `must be ${what}`;
  };

export const aLog = objectWith(
  'an object with debug, info, warn and error',
  'debug',
  'info',
  'warn',
  'error',
);
