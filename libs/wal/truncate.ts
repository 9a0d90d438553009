// libs/wal/truncate.ts: removes the oldest segments, whose samples and registrations are kept elsewhere by now.
// Nothing relies on a removal: what a crash brings back lies below the `firstSegment` that the owner stored before, and is ignored.
import { errorText, type FileSystem } from "../env/index.ts";
import { listSegments, segmentPath, walFolder } from "./segment.ts";
import { markSuspect } from "./suspect.ts";

export type TruncateResult =
  | { readonly kind: "done" }
  /** Some are still there; trying again later does no harm. */
  | { readonly kind: "failed"; readonly text: string }
  /** The folder failed to sync: the names of new segments may be lost with it, so nothing may be written any more. */
  | { readonly kind: "unsynced"; readonly text: string };

/** Removes all segments below `segment`, oldest first; then the space is given back for good. Never throws. */
export function truncateSegments(fs: FileSystem, dataDir: string, segment: number): TruncateResult {
  try {
    const old = listSegments(fs, dataDir).segments.filter((one) => one < segment);
    for (const one of old) {
      const path = segmentPath(dataDir, one);
      if (fs.stat(path)?.kind === "file") fs.unlink(path);
    }
  } catch (error) {
    return { kind: "failed", text: `cannot truncate the WAL: got ${errorText(error)}; want its old segments removed` };
  }
  try {
    fs.fsyncDir(walFolder(dataDir), "wal-truncated");
  } catch (error) {
    const text = `cannot sync ${walFolder(dataDir)}: got ${errorText(error)}; want its names on disk`;
    markSuspect(fs, dataDir, text);
    return { kind: "unsynced", text };
  }
  return { kind: "done" };
}
