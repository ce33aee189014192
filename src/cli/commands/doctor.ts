import type { Command } from 'commander';
import { InboxError } from '../../core/errors.ts';
import type { Finding } from '../../health/finding.ts';
import { checkHealth } from '../../health/check-health.ts';
import { answer, printTable } from '../shared/output.ts';

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('is everything there and well: Postgres, Temporal, workers, and nothing stuck')
    .action(async () => {
      const findings = await checkHealth();
      answer(findings, () => printFindings(findings));
      const sick = findings.filter(({ ok }) => !ok);
      if (sick.length > 0) throw new InboxError(`not well: ${sick.map(({ name }) => name).join(', ')}`);
    });
}

const MARKS = { healthy: '✓', unhealthy: '✗' };

function printFindings(findings: readonly Finding[]): void {
  printTable(
    [
      { head: '', paint: (mark) => (mark === MARKS.healthy ? 'green' : 'red') },
      'CHECK',
      { head: 'FOUND', fit: 'wrap' },
    ],
    findings.flatMap(({ ok, name, finding, remedy }) => [
      [ok ? MARKS.healthy : MARKS.unhealthy, name, finding],
      ...(remedy === null ? [] : [['', '', `→ ${remedy}`]]),
    ]),
  );
}
