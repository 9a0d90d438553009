// libs/wal/lock.ts: one process per data directory: a lock file that names its holder.
// A lock whose process is gone, or whose process number was given to another process, is taken over. Process numbers say nothing
// about another host or container that shares the directory: there the holder's heartbeat decides.
import { type Clock, ensureDirectory, errorCode, type FileSystem, type Processes, readWhole } from "../env/index.ts";
import { InvalidError } from "../model/index.ts";

const HEARTBEAT_MS = 5_000;
/** A lock of another host is stale when its heartbeat is older than this. */
const SILENT_MS = 30_000;
/** How long a lock without content may be one that is just being written. */
const WRITING_MS = 200;

interface Holder {
  readonly pid: number;
  readonly start: string;
  readonly host: string;
}

/** A lock that is held until `release`. */
export interface DirectoryLock {
  readonly path: string;
  release(): void;
}

/**
 * Locks a data directory, which is made if missing. Errors: InvalidError that names the lock's path and the process that
 * holds it.
 */
export async function lockDirectory(
  fs: FileSystem,
  clock: Clock,
  processes: Processes,
  dataDir: string,
): Promise<DirectoryLock> {
  ensureDirectory(fs, dataDir, "data-directory");
  const path = `${dataDir}/LOCK`;
  const own: Holder = {
    pid: processes.pid,
    start: processes.startOf(processes.pid) ?? "unknown",
    host: processes.host,
  };
  const bytes = new TextEncoder().encode(`${JSON.stringify(own)}\n`);
  for (;;) {
    if (create(fs, path, bytes)) break;
    const found = await readHolder(fs, clock, path);
    if (found === undefined) continue;
    if (isHeld(found, fs, clock, processes, path)) refuse(found, processes, path, dataDir);
    takeOver(fs, path, found.text, own);
  }
  const heartbeat = clock.every(HEARTBEAT_MS, () => beat(fs, path, bytes));
  return {
    path,
    release: () => {
      heartbeat.cancel();
      if (sameText(readWhole(fs, path), bytes)) fs.unlink(path);
    },
  };
}

interface Found {
  readonly text: string;
  /** Undefined when the content is no lock: a crash left it half written. */
  readonly holder: Holder | undefined;
}

/** False when the file exists. */
function create(fs: FileSystem, path: string, bytes: Uint8Array): boolean {
  try {
    const file = fs.open(path, "create");
    file.write(bytes, 0);
    file.close();
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw error;
  }
}

async function readHolder(fs: FileSystem, clock: Clock, path: string): Promise<Found | undefined> {
  for (let attempt = 0; ; attempt++) {
    const bytes = readWhole(fs, path);
    if (bytes === undefined) return undefined;
    const text = new TextDecoder().decode(bytes);
    const holder = parse(text);
    if (holder !== undefined || attempt === 1) return { text, holder };
    await clock.sleep(WRITING_MS);
  }
}

function parse(text: string): Holder | undefined {
  try {
    const { pid, start, host } = JSON.parse(text) as Partial<Holder>;
    if (typeof pid !== "number" || typeof start !== "string" || typeof host !== "string") return undefined;
    return { pid, start, host };
  } catch {
    return undefined;
  }
}

function isHeld(found: Found, fs: FileSystem, clock: Clock, processes: Processes, path: string): boolean {
  const { holder } = found;
  if (holder === undefined) return false;
  if (holder.host === processes.host) return processes.startOf(holder.pid) === holder.start;
  return clock.nowMs() - (fs.stat(path)?.modifiedMs ?? 0) < SILENT_MS;
}

function refuse(found: Found, processes: Processes, path: string, dataDir: string): never {
  const { pid, host } = found.holder ?? { pid: 0, host: "" };
  const elsewhere = host === processes.host ? "" : ` on ${host}, or one that ended less than ${SILENT_MS / 1000} s ago`;
  throw new InvalidError(
    `cannot lock ${dataDir}: got ${path} held by process ${pid}${elsewhere}; want one process per directory: stop that one first`,
  );
}

/** Removes the stale lock, unless another process has been faster. */
function takeOver(fs: FileSystem, path: string, staleText: string, own: Holder): void {
  const aside = `${path}.${own.host}.${own.pid}`;
  try {
    fs.rename(path, aside);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return;
    throw error;
  }
  const moved = readWhole(fs, aside);
  // What was moved is a fresh lock of a process that took the stale one over first: it goes back.
  if (sameText(moved, new TextEncoder().encode(staleText))) fs.unlink(aside);
  else fs.rename(aside, path);
}

/** Renews the modification time. A failure to do so concerns nobody but other hosts. */
function beat(fs: FileSystem, path: string, bytes: Uint8Array): void {
  try {
    const file = fs.open(path, "update");
    file.write(bytes, 0);
    file.close();
  } catch {
    // The directory may be read-only or full just now; the next beat tries again.
  }
}

function sameText(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && Buffer.compare(a, b) === 0;
}
