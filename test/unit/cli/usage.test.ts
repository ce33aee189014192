/** Rules for all commands, those included that somebody adds later. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CommanderError } from 'commander';
import type { Command } from 'commander';
import { EXAMPLES } from '../../../src/cli/shared/examples.ts';
import { createProgram } from '../../../src/cli/program.ts';

function leaves(command: Command, path: string[] = []): [path: string[], command: Command][] {
  if (command.commands.length === 0) return [[path, command]];
  return command.commands.flatMap((child) => leaves(child, [...path, child.name()]));
}

function silent(command: Command): Command {
  command.configureOutput({ writeErr() {}, writeOut() {} });
  command.commands.forEach(silent);
  return command;
}

/** Fails before anything is done, as wrong usage does. */
async function isWrongUsage(args: string[], message: RegExp): Promise<void> {
  await assert.rejects(silent(createProgram()).parseAsync(args, { from: 'user' }), (error: unknown) => {
    assert.ok(error instanceof CommanderError, `${args.join(' ')}: ${String(error)}`);
    assert.notEqual(error.exitCode, 0);
    assert.match(error.message, message);
    return true;
  });
}

/** Takes any text. */
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
  '--publish',
];

describe('inbox', () => {
  const all = leaves(createProgram());

  it('has the commands that the tests below go through', () => assert.ok(all.length >= 23, `${all.length}`));

  for (const [path, command] of all) {
    const name = path.join(' ');
    const required = command.registeredArguments.filter((argument) => argument.required).map(() => 'x');
    const mandatory = command.options
      .filter((option) => option.mandatory)
      .flatMap(({ long }) => [long!, 'x']);
    const valid = [...path, ...required, ...mandatory];

    it(`${name}: has --json, a description and plain help`, () => {
      assert.ok(command.options.some(({ long }) => long === '--json'));
      assert.ok(command.description().length > 10);
    });

    it(`${name}: an unknown option, a missing argument and one too many are wrong usage`, async () => {
      await isWrongUsage([...valid, '--nonsense'], /unknown option/);
      if (required.length > 0) await isWrongUsage([...path, ...mandatory], /missing required argument/);
      const variadic = command.registeredArguments.some((argument) => argument.variadic);
      const most = command.registeredArguments.map(() => 'x');
      if (!variadic) await isWrongUsage([...path, ...most, ...mandatory, 'more'], /too many arguments/);
    });

    for (const option of command.options.filter((each) => each.required && !TEXT.includes(each.long!))) {
      it(`${name} ${option.long}: a bad value is wrong usage, and so is none`, async () => {
        for (const bad of ['nonsense;', '', '-1', '1e999', '٣']) {
          await isWrongUsage([...valid, `${option.long}=${bad}`], /is invalid/);
        }
        await isWrongUsage([...valid, option.long!], /argument missing/);
      });
    }
  }

  for (const [path, examples] of Object.entries(EXAMPLES)) {
    it(`${path}: every example is of this command, with options that it has`, () => {
      for (const example of examples) {
        const words = example.replace(/ +#.*$/, '').split('inbox ')[1]!;
        const used = [...words.replaceAll(/'[^']*'/g, '').matchAll(/--[a-z-]+/g)].map(([long]) => long);
        const found = all.find(([each, command]) => {
          const named = words.startsWith(each.join(' '));
          return (
            (named || words.startsWith(each[0]!)) &&
            used.every((long) => command.options.some((o) => o.long === long))
          );
        });
        assert.ok(found, example);
        if (path !== '') assert.ok(words.startsWith(path.split(' ')[0]!), example);
      }
    });
  }
});
