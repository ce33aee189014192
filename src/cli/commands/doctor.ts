import type { Command } from 'commander';
import { InboxError } from '../../core/errors.ts';
import type { Finding } from '../../health/finding.ts';
import { checkHealth } from '../../health/check-health.ts';
import { answer, printTable } from '../shared/output.ts';

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description(
      'Check Postgres, Temporal and workers, and find stuck messages; exits with 1 if a check fails',
    )
    .action(async () => {
      const findings = await checkHealth();
      answer(findings, () => printFindings(findings));
      const unhealthy = findings.filter(({ ok }) => !ok);
      if (unhealthy.length > 0)
        throw new InboxError(`unhealthy: ${unhealthy.map(({ name }) => name).join(', ')}`);
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
