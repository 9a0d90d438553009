// libs/tsdb/quarantine-folder.ts: where damaged blocks and files of side data are put aside, and losses of the WAL noted: DIR/quarantine. Nothing there is removed, and
// nothing read but names, which say what times are affected.

import { crc32 } from "node:zlib";
import { blockPath, classifyingFileSystem } from "../block/index.ts";
import { ensureDirectory, type FileSystem, replaceFile } from "../env/index.ts";

export function quarantineFolder(dataDir: string): string {
  return `${dataDir}/quarantine`;
}

/**
 * Gives a block's file, or the one at a path, its durable name in quarantine, where it may have it already; false when there is no file. Errors: UnavailableError
 * (disk full), InternalError (the disk refuses).
 */
export function linkAside(fs: FileSystem, dataDir: string, file: string, from = blockPath(dataDir, file)): boolean {
  const files = classifyingFileSystem(fs);
  const folder = quarantineFolder(dataDir);
  ensureDirectory(files, folder, "quarantine-folder");
  const to = `${folder}/${file}`;
  if (files.stat(to) === undefined) {
    if (files.stat(from)?.kind !== "file") return false;
    files.link(from, to);
  }
  files.fsyncDir(folder, "quarantine-name");
  return true;
}

/** Samples of times in (minMs, maxMs] that the WAL may have lost. */
export interface Loss {
  readonly minMs: number;
  readonly maxMs: number;
}

const LOSS = /^wal-(-?\d+)-(-?\d+)-[0-9a-f]{8}\.txt$/;

/** More than these are not noted: who has so many knows. */
const LOSSES_MAX = 50;

/** What a file's name says of a loss; undefined when it is about none. */
export function lossOf(name: string): Loss | undefined {
  const times = LOSS.exec(name);
  return times === null ? undefined : { minMs: Number(times[1]), maxMs: Number(times[2]) };
}

/**
 * Notes a loss for good, once for the same damage, which `lines` say. False when it is noted already. Errors: those of the file system.
 */
export function noteLoss(fs: FileSystem, dataDir: string, { minMs, maxMs }: Loss, lines: readonly string[]): boolean {
  const folder = quarantineFolder(dataDir);
  const text = `${lines.join("\n")}\n`;
  const mark = `-${crc32(text).toString(16).padStart(8, "0")}.txt`;
  ensureDirectory(fs, folder, "quarantine-folder");
  const noted = fs.list(folder).filter((name) => lossOf(name) !== undefined);
  if (noted.some((name) => name.endsWith(mark))) return false;
  if (noted.length >= LOSSES_MAX) return true;
  replaceFile(fs, `${folder}/wal-${minMs}-${maxMs}${mark}`, new TextEncoder().encode(text), "wal-loss");
  return true;
}
