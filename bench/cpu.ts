/**
 * CPU that processes have taken, from Linux's /proc. Elsewhere it is not measured.
 *
 * @module
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

interface ProcessTimes {
  parent: number;
  /** With that of its ended children, in clock ticks. */
  ticks: number;
}

/** Source: proc_pid_stat(5). The name in brackets may hold anything, so the fields are counted from its end. */
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

const MS_A_TICK = (() => {
  try {
    return 1_000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  } catch {
    return Number.NaN;
  }
})();

/** CPU of these processes and all below them since their start, in ms. NaN where there is no /proc. */
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
  return ticks * MS_A_TICK;
}

/** Memory of a process that is its own (not shared libraries, not files), in MB; NaN where there is no /proc. */
export function memoryMb(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]) / 1024;
  } catch {
    return Number.NaN;
  }
}
