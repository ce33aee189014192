/** Rules for all commands, including any that are added later. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CommanderError } from 'commander';
import type { Command } from 'commander';
import { EXAMPLES } from '../../../src/cli/shared/examples.ts';
import { createProgram } from '../../../src/cli/program.ts';
import { shellWords } from '../../support/shell-words.ts';

function leaves(command: Command, path: string[] = []): [path: string[], command: Command][] {
  if (command.commands.length === 0) return [[path, command]];
  return command.commands.flatMap((child) => leaves(child, [...path, child.name()]));
}

function silent(command: Command): Command {
  command.configureOutput({ writeErr() {}, writeOut() {} });
  command.commands.forEach(silent);
  return command;
}

/** Asserts that the arguments are refused as wrong usage, before the command does anything. */
async function assertWrongUsage(args: string[], message: RegExp): Promise<void> {
  await assert.rejects(silent(createProgram()).parseAsync(args, { from: 'user' }), (error: unknown) => {
    assert.ok(error instanceof CommanderError, `${args.join(' ')}: ${String(error)}`);
    assert.notEqual(error.exitCode, 0);
    assert.match(error.message, message);
    return true;
  });
}

/** The command that an example runs, without running it. Rejects if Commander refuses the example's arguments. */
async function commandOf(example: string): Promise<string[]> {
  const program = silent(createProgram());
  let ran: string[] | undefined;
  for (const [path, command] of leaves(program)) command.action(() => void (ran = path));
  const [, args] = example.replace(/ +#.*$/, '').split('inbox ');
  await program.parseAsync(shellWords(args!), { from: 'user' });
  assert.ok(ran, `no command runs: ${example}`);
  return ran;
}

/** Options that accept any text. */
const FREE = [
  '--actor',
  '--reason',
  '--group',
  '--type',
  '--error-type',
  '--correlation',
  '--causation',
  '--text',
];
const TEXT = [
  ...FREE,
  '--id',
  '--payload',
  '--file',
  '--commands',
  '--message',
  '--action',
  '--dir',
  '--build-id',
  '--deployment',
  '--publish',
];

describe('inbox', () => {
  const all = leaves(createProgram());
  const descriptions = all.map(([, command]) => command.description());

  it('has the commands that the tests below check', () => assert.ok(all.length >= 23, `${all.length}`));

  for (const [path, command] of all) {
    const name = path.join(' ');
    const required = command.registeredArguments.filter((argument) => argument.required).map(() => 'x');
    const mandatory = command.options
      .filter((option) => option.mandatory)
      .flatMap(({ long }) => [long!, 'x']);
    const valid = [...path, ...required, ...mandatory];

    it(`${name}: has --json and a description`, () => {
      assert.ok(command.options.some(({ long }) => long === '--json'));
      // An imperative verb first, as in "List inbox entries", and no period at the end.
      assert.match(command.description(), /^[A-Z][a-z]+ \S.*[^.\s]$/);
      assert.equal(descriptions.filter((each) => each === command.description()).length, 1);
    });

    it(`${name}: refuses an unknown option, a missing argument and an extra argument`, async () => {
      await assertWrongUsage([...valid, '--nonsense'], /unknown option/);
      if (required.length > 0) await assertWrongUsage([...path, ...mandatory], /missing required argument/);
      const variadic = command.registeredArguments.some((argument) => argument.variadic);
      const most = command.registeredArguments.map(() => 'x');
      if (!variadic) await assertWrongUsage([...path, ...most, ...mandatory, 'more'], /too many arguments/);
    });

    for (const option of command.options.filter((each) => each.required && !TEXT.includes(each.long!))) {
      it(`${name} ${option.long}: refuses a bad or missing value`, async () => {
        for (const bad of ['nonsense;', '', '-1', '1e999', '٣']) {
          await assertWrongUsage([...valid, `${option.long}=${bad}`], /is invalid/);
        }
        await assertWrongUsage([...valid, option.long!], /argument missing/);
      });
    }
  }

  for (const [path, examples] of Object.entries(EXAMPLES)) {
    it(`${path}: every example runs this command, with valid arguments and options`, async () => {
      for (const example of examples) {
        const ran = await commandOf(example);
        const shown = path === '' ? [] : path.split(' ');
        assert.deepEqual(ran.slice(0, shown.length), shown, example);
      }
    });
  }
});
