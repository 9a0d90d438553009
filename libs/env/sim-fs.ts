// libs/env/sim-fs.ts: a file system in memory that forgets at a crash what was not synced, names included, and fails where told.
// Stricter than common disks: unsynced names are kept or lost one by one, in no order; so code that is right here is right there.
import type { DiskSpace, FileStat, FileSystem, OpenFile, OpenMode } from "./fs.ts";
import { parentOf } from "./fs.ts";
import type { Random } from "./random.ts";
import { type CrashOdds, SimFile } from "./sim-file.ts";

/** One call of the code under test, as fault rules see it. `site` is empty but for syncs. */
export interface SimCall {
  /** Number of the call since the file system was made, from 1. */
  readonly number: number;
  readonly kind:
    | ("open" | "read" | "write" | "truncate" | "size" | "fdatasync" | "stat" | "list")
    | ("makeDirectory" | "rename" | "link" | "unlink" | "removeDirectory" | "space" | "fsyncDir");
  readonly path: string;
  readonly site: string;
}

/** crash: the process dies before the call; else the system's error name. */
export type SimFault = "crash" | "EIO" | "ENOSPC" | "EMFILE" | "EACCES" | "EROFS";

/** Thrown by every call from the moment of the crash until the process is "started" again by `kill` or `crash`. */
export class SimCrash extends Error {
  constructor() {
    super("simulated crash");
    this.name = "SimCrash";
  }
}

class SimDirectory {
  entries = new Map<string, SimFile | SimDirectory>();
  durable = new Map<string, SimFile | SimDirectory>();
  /** Name changes since the last fsyncDir; those of one element happen together. */
  unsynced: [string, SimFile | SimDirectory | undefined][][] = [];

  change(changes: [string, SimFile | SimDirectory | undefined][]): void {
    apply(this.entries, changes);
    this.unsynced.push(changes);
  }

  sync(): void {
    for (const changes of this.unsynced) apply(this.durable, changes);
    this.unsynced = [];
  }

  crash(random: Random, odds: CrashOdds, crashed: Set<SimFile>): void {
    for (const changes of this.unsynced) if (random.chance(odds.kept)) apply(this.durable, changes);
    this.unsynced = [];
    this.entries = new Map(this.durable);
    for (const node of this.entries.values()) {
      if (node instanceof SimDirectory) node.crash(random, odds, crashed);
      // A file with several names has one content.
      else if (!crashed.has(node)) {
        crashed.add(node);
        node.crash(random, odds);
      }
    }
  }
}

function apply(
  entries: Map<string, SimFile | SimDirectory>,
  changes: readonly [string, SimFile | SimDirectory | undefined][],
): void {
  for (const [name, node] of changes) {
    if (node === undefined) entries.delete(name);
    else entries.set(name, node);
  }
}

function fail(code: string, what: string): never {
  throw Object.assign(new Error(`${code}: simulated, ${what}`), { code });
}

export class SimFileSystem implements FileSystem {
  private readonly root = new SimDirectory();
  private callCount = 0;
  private life = 0;
  private down = false;
  private ignored: (call: SimCall) => boolean = () => false;
  /** Decides the fate of each call; undefined lets it pass. */
  faults: (call: SimCall) => SimFault | undefined = () => undefined;
  /** The disk's size: a write beyond it writes what fits and fails with ENOSPC. */
  capacityBytes = Number.POSITIVE_INFINITY;
  /** Wall time for modification times. */
  nowMs: () => number = () => 0;
  /** Every sync site that was called. */
  readonly syncSites = new Set<string>();

  /** Calls so far. */
  get calls(): number {
    return this.callCount;
  }

  /** Bytes of all files, to choose a `capacityBytes` by. */
  get usedBytes(): number {
    return bytesBelow(this.root);
  }

  /** Whether the process has died and was not started again. */
  get crashed(): boolean {
    return this.down;
  }

  /** Syncs for which `predicate` holds return at once without having any effect. */
  ignoreSync(predicate: (call: SimCall) => boolean): void {
    this.ignored = predicate;
  }

  /** The disk as the process that runs now sees it: every call throws once that process has been killed, whoever runs then. */
  process(): FileSystem {
    const life = this.life;
    const alive = (): SimFileSystem => {
      if (life !== this.life) throw new SimCrash();
      return this;
    };
    return {
      open: (path, mode) => alive().open(path, mode),
      stat: (path) => alive().stat(path),
      list: (folder) => alive().list(folder),
      makeDirectory: (path) => alive().makeDirectory(path),
      rename: (from, to) => alive().rename(from, to),
      link: (from, to) => alive().link(from, to),
      unlink: (path) => alive().unlink(path),
      removeDirectory: (path) => alive().removeDirectory(path),
      space: (folder) => alive().space(folder),
      fsyncDir: (folder, site) => alive().fsyncDir(folder, site),
      fsyncDirSoon: async (folder, site) => {
        await undefined;
        alive().fsyncDir(folder, site);
      },
    };
  }

  /** The process is killed; the page cache survives. Open files of the old life are dead. */
  kill(): void {
    this.life++;
    this.down = false;
  }

  /** Power loss: of what was not synced, `random` decides what is left. Open files of the old life are dead. */
  crash(random: Random): void {
    const odds = { kept: random.pick([0, 0, 0.5, 0.9, 1]), damaged: random.pick([0, 0.3, 1]) };
    this.root.crash(random, odds, new Set());
    this.kill();
  }

  /** Damage at rest: XORs `mask` into one byte of a file. */
  flip(path: string, offset: number, mask: number): void {
    this.fileAt(path).flip(offset, mask);
  }

  open(path: string, mode: OpenMode): OpenFile {
    this.enter("open", path);
    const folder = this.directoryAt(parentOf(path));
    const name = nameOf(path);
    let node = folder.entries.get(name);
    if (mode === "create") {
      if (node !== undefined) fail("EEXIST", `open ${path}`);
      node = new SimFile();
      node.modifiedMs = this.nowMs();
      folder.change([[name, node]]);
    }
    if (node === undefined) fail("ENOENT", `open ${path}`);
    if (node instanceof SimDirectory) fail("EISDIR", `open ${path}`);
    return this.handle(path, node, mode);
  }

  stat(path: string): FileStat | undefined {
    this.enter("stat", path);
    const node = this.nodeAt(path);
    if (node === undefined) return undefined;
    if (node instanceof SimDirectory) return { kind: "directory", sizeBytes: 0, modifiedMs: 0 };
    return { kind: "file", sizeBytes: node.sizeBytes, modifiedMs: node.modifiedMs };
  }

  list(folder: string): string[] {
    this.enter("list", folder);
    return [...this.directoryAt(folder).entries.keys()].sort();
  }

  makeDirectory(path: string): void {
    this.enter("makeDirectory", path);
    const folder = this.directoryAt(parentOf(path));
    if (folder.entries.has(nameOf(path))) fail("EEXIST", `mkdir ${path}`);
    folder.change([[nameOf(path), new SimDirectory()]]);
  }

  rename(from: string, to: string): void {
    this.enter("rename", from);
    if (parentOf(from) !== parentOf(to)) fail("EXDEV", `rename ${from} to ${to}`);
    const folder = this.directoryAt(parentOf(from));
    const node = folder.entries.get(nameOf(from));
    if (node === undefined) fail("ENOENT", `rename ${from}`);
    folder.change([
      [nameOf(from), undefined],
      [nameOf(to), node],
    ]);
  }

  link(from: string, to: string): void {
    this.enter("link", to);
    const file = this.fileAt(from);
    const folder = this.directoryAt(parentOf(to));
    if (folder.entries.has(nameOf(to))) fail("EEXIST", `link ${from} to ${to}`);
    folder.change([[nameOf(to), file]]);
  }

  removeDirectory(path: string): void {
    this.enter("removeDirectory", path);
    if (this.directoryAt(path).entries.size > 0) fail("ENOTEMPTY", `rmdir ${path}`);
    this.directoryAt(parentOf(path)).change([[nameOf(path), undefined]]);
  }

  space(folder: string): DiskSpace {
    this.enter("space", folder);
    this.directoryAt(folder);
    const freeBytes = Math.max(0, this.capacityBytes - this.usedBytes);
    return { freeBytes, sizeBytes: this.capacityBytes };
  }

  unlink(path: string): void {
    this.enter("unlink", path);
    this.fileAt(path);
    this.directoryAt(parentOf(path)).change([[nameOf(path), undefined]]);
  }

  fsyncDir(folder: string, site: string): void {
    const call = this.enter("fsyncDir", folder, site);
    const directory = this.directoryAt(folder);
    if (!this.ignored(call)) directory.sync();
  }

  async fsyncDirSoon(folder: string, site: string): Promise<void> {
    await undefined;
    this.fsyncDir(folder, site);
  }

  private handle(path: string, file: SimFile, mode: OpenMode): OpenFile {
    const life = this.life;
    let open = true;
    const enter = (kind: SimCall["kind"], site = ""): SimCall => {
      if (life !== this.life) throw new SimCrash();
      if (!open || (mode === "read" && (kind === "write" || kind === "truncate"))) fail("EBADF", `${kind} ${path}`);
      try {
        return this.enter(kind, path, site);
      } catch (error) {
        if (kind === "fdatasync" && !(error instanceof SimCrash)) file.loseUnsynced();
        throw error;
      }
    };
    return {
      path,
      read: (into, offset) => {
        enter("read");
        return file.read(into, offset);
      },
      write: (bytes, offset) => {
        enter("write");
        file.modifiedMs = this.nowMs();
        const room = this.roomFor(file, offset, bytes.length);
        file.write(bytes.subarray(0, room), offset);
        if (room < bytes.length) fail("ENOSPC", `write ${path}`);
      },
      truncate: (sizeBytes) => {
        enter("truncate");
        file.truncate(sizeBytes);
      },
      sizeBytes: () => {
        enter("size");
        return file.sizeBytes;
      },
      fdatasync: (site) => {
        const call = enter("fdatasync", site);
        if (!this.ignored(call)) file.fdatasync();
      },
      fdatasyncSoon: async (site) => {
        await undefined;
        const call = enter("fdatasync", site);
        if (!this.ignored(call)) file.fdatasync();
      },
      close: () => {
        open = false;
      },
    };
  }

  private enter(kind: SimCall["kind"], path: string, site = ""): SimCall {
    if (this.down) throw new SimCrash();
    const call: SimCall = { number: ++this.callCount, kind, path, site };
    if (site !== "") this.syncSites.add(site);
    const fault = this.faults(call);
    if (fault === "crash") {
      this.down = true;
      throw new SimCrash();
    }
    if (fault !== undefined) fail(fault, `${kind} ${path}`);
    return call;
  }

  /** How many of `length` bytes at `offset` fit on the disk. */
  private roomFor(file: SimFile, offset: number, length: number): number {
    if (this.capacityBytes === Number.POSITIVE_INFINITY) return length;
    const inside = Math.max(0, Math.min(length, file.sizeBytes - offset));
    return inside + Math.max(0, Math.min(length - inside, this.capacityBytes - this.usedBytes));
  }

  private nodeAt(path: string): SimFile | SimDirectory | undefined {
    let node: SimFile | SimDirectory | undefined = this.root;
    for (const part of path.split("/")) {
      if (part === "" || part === ".") continue;
      node = node instanceof SimDirectory ? node.entries.get(part) : undefined;
    }
    return node;
  }

  private directoryAt(path: string): SimDirectory {
    const node = this.nodeAt(path);
    if (node === undefined) fail("ENOENT", path);
    return node instanceof SimDirectory ? node : fail("ENOTDIR", path);
  }

  private fileAt(path: string): SimFile {
    const node = this.nodeAt(path);
    if (node === undefined) fail("ENOENT", path);
    return node instanceof SimFile ? node : fail("EISDIR", path);
  }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function bytesBelow(folder: SimDirectory, counted = new Set<SimFile>()): number {
  let sum = 0;
  for (const node of folder.entries.values()) {
    if (node instanceof SimDirectory) sum += bytesBelow(node, counted);
    else if (!counted.has(node)) {
      counted.add(node);
      sum += node.sizeBytes;
    }
  }
  return sum;
}
