// libs/tsdb/quarantine-folder.ts: where damaged files are put aside: DIR/quarantine, beside the blocks. Nothing there is read or removed.
import { blockPath, classifyingFileSystem } from "../block/index.ts";
import { ensureDirectory, type FileSystem } from "../env/index.ts";

export function quarantineFolder(dataDir: string): string {
  return `${dataDir}/quarantine`;
}

/**
 * Gives a block's file its durable name in quarantine, where it may have it already; false when there is no file. Errors: UnavailableError
 * (disk full), InternalError (the disk refuses).
 */
export function linkAside(fs: FileSystem, dataDir: string, file: string): boolean {
  const files = classifyingFileSystem(fs);
  const folder = quarantineFolder(dataDir);
  ensureDirectory(files, folder, "quarantine-folder");
  const from = blockPath(dataDir, file);
  const to = `${folder}/${file}`;
  if (files.stat(to) === undefined) {
    if (files.stat(from)?.kind !== "file") return false;
    files.link(from, to);
  }
  files.fsyncDir(folder, "quarantine-name");
  return true;
}
