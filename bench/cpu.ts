/**
 * CPU time and memory of processes, read from Linux's /proc. On other systems they are not measured.
 *
 * @module
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

interface ProcessTimes {
  parent: number;
  /** CPU time of the process and its ended children, in clock ticks. */
  ticks: number;
}

/** Source: proc_pid_stat(5). The name in parentheses may contain any character, so the fields are counted from its end. */
function readTimes(pid: number): ProcessTimes | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return { parent: Number(fields[1]), ticks };
}

const MS_PER_TICK = (() => {
  try {
    return 1_000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  } catch {
    return Number.NaN;
  }
})();

/** CPU time of these processes and their descendants since their start, in ms. NaN on systems without /proc. */
export function cpuMs(roots: readonly number[]): number {
  let pids: number[];
  try {
    pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  } catch {
    return Number.NaN;
  }
  const times = new Map<number, ProcessTimes>();
  for (const pid of pids) {
    const found = readTimes(pid);
    if (found) times.set(pid, found);
  }
  const counts = (pid: number): boolean => {
    const found = times.get(pid);
    return roots.includes(pid) || (found !== undefined && found.parent > 1 && counts(found.parent));
  };
  let ticks = 0;
  for (const [pid, found] of times) if (counts(pid)) ticks += found.ticks;
  return ticks * MS_PER_TICK;
}

/** Private memory of a process (without shared libraries and mapped files) in MB. NaN on systems without /proc. */
export function memoryMb(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]) / 1024;
  } catch {
    return Number.NaN;
  }
}
