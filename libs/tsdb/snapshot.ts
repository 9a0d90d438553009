// libs/tsdb/snapshot.ts: a copy of a data directory as it is now, made of hard links: instant, and no room until the original goes on.
// Sound because no file changes once it is whole: blocks never, identity and registry are replaced by rename, a segment of the WAL is
// final when its successor has begun. A snapshot is a data directory like any other: DIR/snapshots/NAME. It is made below a draft's name,
// so that after a crash it is there whole or not at all.
import { blockPath, blocksFolder, type RegistryState, readRegistry, registryPath } from "../block/index.ts";
import {
  type Clock,
  ensureDirectory,
  errorCode,
  errorText,
  type FileSystem,
  type Processes,
  type Random,
  removeTree,
} from "../env/index.ts";
import { AppError, InvalidError, UnavailableError } from "../model/index.ts";
import { isSideDraft, isSideFile, sideFolder } from "../side/index.ts";
import {
  identityPath,
  listSegments,
  lockDirectory,
  readIdentity,
  segmentPath,
  suspicionOf,
  walFolder,
} from "../wal/index.ts";

const DRAFT = /\.tmp$/;

/** Histograms, exemplars and start times: all files of the folder are live, and drafts that the registry knows. */
function linkSideFiles(fs: FileSystem, dataDir: string, draft: string): void {
  const folder = sideFolder(dataDir);
  if (fs.stat(folder) === undefined) return;
  fs.makeDirectory(sideFolder(draft));
  for (const name of fs.list(folder)) {
    if (isSideFile(name) || isSideDraft(name)) fs.link(`${folder}/${name}`, `${sideFolder(draft)}/${name}`);
  }
  fs.fsyncDir(sideFolder(draft), "snapshot-names");
}

export function snapshotsFolder(dataDir: string): string {
  return `${dataDir}/snapshots`;
}

/** What a snapshot takes of a directory's registry. */
export type LiveFiles = Pick<RegistryState, "walFrom"> & { readonly blocks: readonly { readonly file: string }[] };

/**
 * Links what is live into a new folder, and returns its name: the time and some chance, such as 20260102T030405Z-89abcdef01234567.
 * Nothing of `live` may change meanwhile; the segments from `live.walFrom` up to `lastSegment` are final. Errors: UnavailableError when
 * the disk refuses; nothing is left then but a draft that the next snapshot removes.
 */
export function linkSnapshot(
  fs: FileSystem,
  dataDir: string,
  live: LiveFiles,
  lastSegment: number,
  nowMs: number,
  random: Random,
): string {
  const chance = Buffer.from(random.bytes(8)).toString("hex");
  const name = `${new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, "")}-${chance}`;
  const folder = snapshotsFolder(dataDir);
  const draft = `${folder}/${name}.tmp`;
  try {
    ensureDirectory(fs, folder, "snapshots-folder");
    removeDrafts(fs, folder);
    for (const path of [draft, walFolder(draft), blocksFolder(draft)]) fs.makeDirectory(path);
    const { segments } = listSegments(fs, dataDir);
    for (const segment of segments) {
      if (segment < live.walFrom || segment > lastSegment) continue;
      fs.link(segmentPath(dataDir, segment), segmentPath(draft, segment));
    }
    for (const { file } of live.blocks) {
      // A block that is missing is damage of the directory, known there; the snapshot has the rest, and knows it too.
      if (fs.stat(blockPath(dataDir, file)) !== undefined) fs.link(blockPath(dataDir, file), blockPath(draft, file));
    }
    linkSideFiles(fs, dataDir, draft);
    fs.link(registryPath(dataDir), registryPath(draft));
    fs.link(identityPath(dataDir), identityPath(draft));
    for (const path of [walFolder(draft), blocksFolder(draft), draft]) fs.fsyncDir(path, "snapshot-names");
    fs.rename(draft, `${folder}/${name}`);
    fs.fsyncDir(folder, "snapshot-made");
  } catch (error) {
    if (errorCode(error) === undefined || error instanceof AppError) throw error;
    throw new UnavailableError(
      `cannot make snapshot ${folder}/${name}: got ${errorText(error)}; want a disk with room that knows hard links`,
      60,
      { cause: error },
    );
  }
  return name;
}

/** What a crash left of others. */
function removeDrafts(fs: FileSystem, folder: string): void {
  for (const name of fs.list(folder)) if (DRAFT.test(name)) removeTree(fs, `${folder}/${name}`);
}

export interface SnapshotOptions {
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly processes: Processes;
  readonly random: Random;
  readonly dataDir: string;
}

/** Makes a snapshot of a directory that no process uses; its path. Errors: InvalidError; CorruptionError; as linkSnapshot. */
export async function snapshotStopped({ fs, clock, processes, random, dataDir }: SnapshotOptions): Promise<string> {
  if (fs.stat(dataDir)?.kind !== "directory") {
    throw new InvalidError(
      `cannot make snapshot of ${dataDir}: got no such folder; want a data directory (--data-dir)`,
    );
  }
  const lock = await lockDirectory(fs, clock, processes, dataDir);
  try {
    const suspicion = suspicionOf(fs, dataDir);
    if (suspicion !== undefined) {
      throw new InvalidError(
        `cannot make snapshot of ${dataDir}: got one marked SUSPECT (${suspicion}); want tidemark verify to pass before`,
      );
    }
    const identity = readIdentity(fs, identityPath(dataDir));
    const registry = readRegistry(fs, dataDir, identity);
    if (registry === undefined) {
      throw new InvalidError(
        `cannot make snapshot of ${dataDir}: got no ${registryPath(dataDir)}; want one that was opened once`,
      );
    }
    const { segments } = listSegments(fs, dataDir);
    // What a killed process wrote may be in memory only; a link is no copy.
    for (const segment of segments) syncFile(fs, segmentPath(dataDir, segment));
    const name = linkSnapshot(fs, dataDir, registry, segments.at(-1) ?? 0, clock.nowMs(), random);
    return `${snapshotsFolder(dataDir)}/${name}`;
  } finally {
    lock.release();
  }
}

function syncFile(fs: FileSystem, path: string): void {
  const file = fs.open(path, "update");
  try {
    file.fdatasync("snapshot-wal");
  } finally {
    file.close();
  }
}
