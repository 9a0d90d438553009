// libs/env/processes.ts: who is running: enough to tell a lock file's owner from a later process with the same number; and who goes first.
import { readFileSync } from "node:fs";
import { getPriority, hostname, platform, setPriority } from "node:os";

export interface Processes {
  /** This process. */
  readonly pid: number;
  /** The machine's or container's name: process numbers mean nothing beyond it. */
  readonly host: string;
  /** When process `pid` was started, in a form to be compared only; undefined when no such process runs. */
  startOf(pid: number): string | undefined;
}

/** Field 22 of /proc/PID/stat: start time in clock ticks since boot. The second field may itself hold spaces and brackets. */
function startTicks(pid: number): string | undefined {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  // A zombie holds no files any more.
  return fields[0] === "Z" ? undefined : fields[19];
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}

export const nodeProcesses: Processes = {
  pid: process.pid,
  host: hostname(),
  startOf(pid) {
    if (!Number.isInteger(pid) || pid <= 0 || !isAlive(pid)) return undefined;
    try {
      return startTicks(pid);
    } catch {
      // No /proc on this system: all that can be known is that the number is in use.
      return "unknown";
    }
  },
};

/** Added to the nice value: a busy thread then gets a fifth of a processor that an ordinary one wants too, and all of one that nobody wants. */
const BACKGROUND_NICE = 6;
const NICE_MAX = 19;

/**
 * Lets other threads go first. For worker threads whose work nobody waits for. Only Linux has priorities of threads: elsewhere it would be the
 * process', and nothing is done.
 */
export function runInBackground(): void {
  if (platform() !== "linux") return;
  try {
    // 0 is the calling thread.
    setPriority(0, Math.min(NICE_MAX, getPriority(0) + BACKGROUND_NICE));
  } catch {
    // A system that forbids it runs the thread like any other.
  }
}
