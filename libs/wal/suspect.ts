// libs/wal/suspect.ts: the marker that a disk failed to sync: nobody builds on such a directory before it was verified.
// After a failed fdatasync the page cache may show bytes that the disk never got, so reading back proves nothing.
import { type FileSystem, parentOf, readWhole } from "../env/index.ts";
import { InvalidError } from "../model/index.ts";

export function suspectPath(dataDir: string): string {
  return `${dataDir}/SUSPECT`;
}

/** Leaves the marker as well as the disk lets us: the name alone is enough to refuse, the text is for the operator. */
export function markSuspect(fs: FileSystem, dataDir: string, text: string): void {
  const path = suspectPath(dataDir);
  try {
    if (fs.stat(path) === undefined) {
      const file = fs.open(path, "create");
      try {
        file.write(new TextEncoder().encode(`${text}\n`), 0);
      } finally {
        file.close();
      }
    }
    fs.fsyncDir(dataDir, "suspect");
  } catch {
    // The disk that fails to sync may also refuse this. The process stops either way.
  }
}

/** Why the directory is marked, in the words of who marked it; undefined when it is not. */
export function suspicionOf(fs: FileSystem, dataDir: string): string | undefined {
  const bytes = readWhole(fs, suspectPath(dataDir));
  if (bytes === undefined) return undefined;
  const text = new TextDecoder().decode(bytes).trim();
  return text === "" ? "no text" : text;
}

/** Errors: InvalidError when the directory is marked, saying what to do. */
export function refuseSuspect(fs: FileSystem, dataDir: string): void {
  const suspicion = suspicionOf(fs, dataDir);
  if (suspicion === undefined) return;
  throw new InvalidError(
    `cannot write to ${dataDir}: got ${suspectPath(dataDir)} (${suspicion}); want a disk that syncs: check it (dmesg, smartctl), ` +
      "copy the directory to a sound one if in doubt, then run tidemark verify, which removes the mark",
  );
}

/** Bytes copied at once. */
const COPY_BYTES = 4 * 2 ** 20;

/**
 * Removes the mark of a directory whose files have been read and are whole. What reading has shown may be in memory only, and the system
 * does not write it again when asked: `files`, those that a failed sync may have left so, are written anew, each replaced by its durable
 * copy. Errors: those of the file system; the mark stays then.
 */
export function settleSuspect(fs: FileSystem, dataDir: string, files: readonly string[]): void {
  for (const path of files) rewrite(fs, path);
  for (const folder of new Set(files.map(parentOf))) fs.fsyncDir(folder, "suspect-rewritten-names");
  fs.unlink(suspectPath(dataDir));
  fs.fsyncDir(dataDir, "suspect-settled");
}

function rewrite(fs: FileSystem, path: string): void {
  const draft = `${path}.tmp`;
  if (fs.stat(draft) !== undefined) fs.unlink(draft);
  const from = fs.open(path, "read");
  try {
    const to = fs.open(draft, "create");
    try {
      const buffer = new Uint8Array(COPY_BYTES);
      for (let at = 0; ; ) {
        const count = from.read(buffer, at);
        if (count === 0) break;
        to.write(buffer.subarray(0, count), at);
        at += count;
      }
      to.fdatasync("suspect-rewritten");
    } finally {
      to.close();
    }
  } finally {
    from.close();
  }
  fs.rename(draft, path);
}
