// libs/block/disk-errors.ts: a file system whose errors are of the class that says what to do about them.
// no space, no files left: UnavailableError, time may cure it. A sync that failed, and any other failed change: InternalError: nobody may
// build on this disk, the process stops. What can't be read: CorruptionError, that block is damaged.
import { errorCode, errorText, type FileSystem, type OpenFile } from "../env/index.ts";
import { AppError, CorruptionError, InternalError, UnavailableError } from "../model/index.ts";

/** Errors that time may cure. */
const PASSING = new Set(["ENOSPC", "EDQUOT", "EMFILE", "ENFILE"]);

type Verb = "sync" | "read" | "write";

/** What the system's error becomes; others (of simulated crashes, our own) stay what they are. */
function classified(error: unknown, verb: Verb, path: string, offset: number): unknown {
  const code = errorCode(error);
  if (code === undefined || error instanceof AppError) return error;
  const got = `cannot ${verb} ${path}: got ${errorText(error)}`;
  const options = { cause: error };
  if (verb === "sync") return new InternalError(`${got}; want every byte on disk`, options);
  if (PASSING.has(code)) return new UnavailableError(`${got}; want space (or files) on the disk`, 60, options);
  if (verb === "read") return new CorruptionError(`${got}; want it to be read`, path, offset);
  return new InternalError(`${got}; want a disk that can be written`, options);
}

function attempt<T>(verb: Verb, path: string, work: () => T, offset = 0): T {
  try {
    return work();
  } catch (error) {
    throw classified(error, verb, path, offset);
  }
}

async function attemptSoon<T>(verb: Verb, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw classified(error, verb, path, 0);
  }
}

function classifyingFile(file: OpenFile): OpenFile {
  const { path } = file;
  return {
    path,
    read: (into, offset) => attempt("read", path, () => file.read(into, offset), offset),
    write: (bytes, offset) => attempt("write", path, () => file.write(bytes, offset), offset),
    truncate: (sizeBytes) => attempt("write", path, () => file.truncate(sizeBytes), sizeBytes),
    sizeBytes: () => attempt("read", path, () => file.sizeBytes()),
    fdatasync: (site) => attempt("sync", path, () => file.fdatasync(site)),
    fdatasyncSoon: (site) => attemptSoon("sync", path, () => file.fdatasyncSoon(site)),
    close: () => file.close(),
  };
}

export function classifyingFileSystem(fs: FileSystem): FileSystem {
  return {
    open: (path, mode) => {
      const verb = mode === "read" ? "read" : "write";
      return classifyingFile(attempt(verb, path, () => fs.open(path, mode)));
    },
    stat: (path) => attempt("read", path, () => fs.stat(path)),
    list: (folder) => attempt("read", folder, () => fs.list(folder)),
    makeDirectory: (path) => attempt("write", path, () => fs.makeDirectory(path)),
    rename: (from, to) => attempt("write", from, () => fs.rename(from, to)),
    link: (from, to) => attempt("write", to, () => fs.link(from, to)),
    removeDirectory: (path) => attempt("write", path, () => fs.removeDirectory(path)),
    space: (folder) => attempt("read", folder, () => fs.space(folder)),
    unlink: (path) => attempt("write", path, () => fs.unlink(path)),
    fsyncDir: (folder, site) => attempt("sync", folder, () => fs.fsyncDir(folder, site)),
    fsyncDirSoon: (folder, site) => attemptSoon("sync", folder, () => fs.fsyncDirSoon(folder, site)),
  };
}
