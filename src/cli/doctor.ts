import type { Command } from 'commander';
import { InboxError } from '../errors.ts';
import type { Finding } from '../finding.ts';
import { checkHealth } from '../health.ts';
import { printJson, printTable } from './output.ts';

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('is everything there and well: Postgres, Temporal, workers, and nothing stuck')
    .option('--json', 'JSON on stdout')
    .action(async ({ json }: { json?: boolean }) => report(await checkHealth(), json ?? false));
}

function report(findings: Finding[], json: boolean): void {
  if (json) printJson(findings);
  else {
    printTable(
      ['', 'CHECK', 'FOUND'],
      findings.flatMap(({ ok, name, finding, whatToDo }) => [
        [ok ? '✓' : '✗', name, finding],
        ...(whatToDo === null ? [] : [['', '', `→ ${whatToDo}`]]),
      ]),
    );
  }
  const sick = findings.filter(({ ok }) => !ok);
  if (sick.length > 0) {
    throw new InboxError(`not well: ${sick.map(({ name }) => name).join(', ')}`);
  }
}
