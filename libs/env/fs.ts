// libs/env/fs.ts: the file operations that durable code needs, synchronous but for two syncs, and the few recipes made of them.
// Each fdatasync and fsyncDir names its call site, so that a simulation can take out any one of them.
// Nothing is durable until it was synced: file bytes and size by `fdatasync`, a new, renamed or removed name by `fsyncDir` of its folder.

/** read: an existing file; update: an existing file, also to be written; create: a new file (EEXIST when it is there). */
export type OpenMode = "read" | "update" | "create";

export interface FileStat {
  readonly kind: "file" | "directory" | "other";
  readonly sizeBytes: number;
  /** Wall time of the last write. */
  readonly modifiedMs: number;
}

/** Room of the disk that a folder is on. */
export interface DiskSpace {
  /** What this process may still write. */
  readonly freeBytes: number;
  readonly sizeBytes: number;
}

/** Errors of all methods carry the system's name as `code` (ENOSPC, EIO, …). */
export interface OpenFile {
  readonly path: string;
  /** Fills `into` from `offset` on. Returns the bytes read; fewer than asked for at the end of the file only. */
  read(into: Uint8Array, offset: number): number;
  /** Writes all of `bytes` at `offset`. After an error any part of it may have been written. */
  write(bytes: Uint8Array, offset: number): void;
  truncate(sizeBytes: number): void;
  sizeBytes(): number;
  /** Makes the file's bytes and size durable, not its name. After an error the bytes may be lost for good: never call it again. */
  fdatasync(site: string): void;
  /** As fdatasync, while this thread goes on. */
  fdatasyncSoon(site: string): Promise<void>;
  close(): void;
}

export interface FileSystem {
  open(path: string, mode: OpenMode): OpenFile;
  /** What `path` is, or undefined when there is nothing. */
  stat(path: string): FileStat | undefined;
  /** The names in a folder, sorted. */
  list(folder: string): string[];
  /** Makes one folder; its parent must exist. */
  makeDirectory(path: string): void;
  /** Replaces `to` at once. Both names must be in one folder: that folder's fsyncDir makes it durable. */
  rename(from: string, to: string): void;
  /** Gives a file one more name, in any folder of the same disk; EEXIST when `to` is there. The bytes are shared, not copied. */
  link(from: string, to: string): void;
  unlink(path: string): void;
  /** Removes an empty folder. */
  removeDirectory(path: string): void;
  space(folder: string): DiskSpace;
  /** Makes the names in `folder` durable. */
  fsyncDir(folder: string, site: string): void;
  /** As fsyncDir, while this thread goes on. */
  fsyncDirSoon(folder: string, site: string): Promise<void>;
}

/** The system's name of an error (ENOSPC, …), or undefined for an error that is not the system's. */
export function errorCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}

/** The message of anything thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** All bytes of a file, or undefined when there is none. */
export function readWhole(fs: FileSystem, path: string): Uint8Array | undefined {
  if (fs.stat(path) === undefined) return undefined;
  const file = fs.open(path, "read");
  try {
    const bytes = new Uint8Array(file.sizeBytes());
    return bytes.subarray(0, file.read(bytes, 0));
  } finally {
    file.close();
  }
}

/** The folder of a path. */
export function parentOf(path: string): string {
  const cut = path.replace(/\/+$/, "").lastIndexOf("/");
  return cut < 0 ? "." : cut === 0 ? "/" : path.slice(0, cut);
}

/**
 * Makes `path` and the folders above it where missing, durably. A folder that is already there may have been made by a
 * process that died before syncing its name, so its name is synced again. Each name is durable before anything is put below it.
 */
export function ensureDirectory(fs: FileSystem, path: string, site: string): void {
  const parent = parentOf(path);
  if (fs.stat(path) === undefined) {
    if (parent !== path) ensureDirectory(fs, parent, site);
    fs.makeDirectory(path);
  }
  try {
    fs.fsyncDir(parent, site);
  } catch (error) {
    // Who may not open the parent has not made a name in it: the folder is someone else's, and older than this process.
    if (errorCode(error) !== "EACCES" && errorCode(error) !== "EPERM") throw error;
  }
}

/**
 * Writes a small file so that after a crash either the old or the new content is there, whole. Sync sites: `${site}-file`
 * before the rename, `${site}-name` after it.
 */
export function replaceFile(fs: FileSystem, path: string, bytes: Uint8Array, site: string): void {
  const draft = `${path}.tmp`;
  if (fs.stat(draft) !== undefined) fs.unlink(draft);
  const file = fs.open(draft, "create");
  try {
    file.write(bytes, 0);
    file.fdatasync(`${site}-file`);
  } finally {
    file.close();
  }
  fs.rename(draft, path);
  fs.fsyncDir(parentOf(path), `${site}-name`);
}

/** As replaceFile, with the same order of syncs, while this thread goes on. */
export async function replaceFileSoon(fs: FileSystem, path: string, bytes: Uint8Array, site: string): Promise<void> {
  const draft = `${path}.tmp`;
  if (fs.stat(draft) !== undefined) fs.unlink(draft);
  const file = fs.open(draft, "create");
  try {
    file.write(bytes, 0);
    await file.fdatasyncSoon(`${site}-file`);
  } finally {
    file.close();
  }
  fs.rename(draft, path);
  await fs.fsyncDirSoon(parentOf(path), `${site}-name`);
}

/** Removes a folder with all that is in it; nothing when there is none. Not synced. */
export function removeTree(fs: FileSystem, folder: string): void {
  if (fs.stat(folder) === undefined) return;
  for (const name of fs.list(folder)) {
    const path = `${folder}/${name}`;
    if (fs.stat(path)?.kind === "directory") removeTree(fs, path);
    else fs.unlink(path);
  }
  fs.removeDirectory(folder);
}
