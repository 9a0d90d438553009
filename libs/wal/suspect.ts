// libs/wal/suspect.ts: the marker that a disk failed to sync: nobody builds on such a directory unawares.
// After a failed fdatasync the page cache may show bytes that the disk never got, so reading back proves nothing.
import { type FileSystem, readWhole } from "../env/index.ts";
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

/** Errors: InvalidError when the directory is marked, saying what to do. */
export function refuseSuspect(fs: FileSystem, dataDir: string): void {
  const path = suspectPath(dataDir);
  const bytes = readWhole(fs, path);
  if (bytes === undefined) return;
  const text = new TextDecoder().decode(bytes).trim();
  throw new InvalidError(
    `cannot open ${dataDir}: got ${path} (${text === "" ? "no text" : text}); want a disk that syncs: check it (dmesg, smartctl), ` +
      `copy the directory to a sound one if in doubt, then delete ${path}. Damage is found by checksums and reported at the start`,
  );
}
