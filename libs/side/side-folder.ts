// libs/side/side-folder.ts: names of files of side data, and which of them to merge and to drop: pure functions of names and time.
import { DAY_MS, dayOf } from "../block/index.ts";
import type { SideFileOptions } from "./side-footer.ts";

/** A day is merged when it is over for so long; earlier when it has so many files in a shard. */
const SETTLE_MS = 3_600_000;
const FILES_MAX = 8;

export interface SideFileName {
  readonly file: string;
  readonly shard: number;
  /** Times are in (minMs, maxMs]. */
  readonly minMs: number;
  readonly maxMs: number;
}

const FILE = /^\d{3,}-(?:0|-?[1-9]\d*)-(?:0|-?[1-9]\d*)-[0-9a-f]{8}\.tms$/;
const DRAFT = new RegExp(`${FILE.source.slice(0, -1)}\\.tmp$`);

export const isSideFile = (name: string): boolean => FILE.test(name);
/** What a writer leaves when it dies, and a file that is whole, but not to be seen before the registry says what is hidden of it. */
export const isSideDraft = (name: string): boolean => DRAFT.test(name);
export const sideDraftOf = (path: string): string => `${path}.tmp`;

export function sideFolder(dataDir: string): string {
  return `${dataDir}/side`;
}

export function sideFileName({ shard, minMs, maxMs, id }: SideFileOptions): string {
  return `${String(shard).padStart(3, "0")}-${minMs}-${maxMs}-${Buffer.from(id).toString("hex").slice(0, 8)}.tms`;
}

/** Files that hold nothing within retention. */
export function planSideExpiry<T extends SideFileName>(files: readonly T[], nowMs: number, retentionMs: number): T[] {
  return files.filter(({ maxMs }) => maxMs < nowMs - retentionMs);
}

/** What of a file deletions hide. */
export interface HidingFile {
  readonly tombstones?: readonly { readonly deletion: string }[];
}

export interface SideMergeOptions<T> {
  /** Whether a deletion is due. */
  readonly isDue?: (deletion: string) => boolean;
  /** Whether some tenant has nothing in a file that is not past. */
  readonly hasPast?: (file: T) => boolean;
}

/**
 * Files of one shard and UTC day that are to become one: the oldest such day; undefined when there is none. A file that deletions hide
 * something of is left alone until one of them is due, or something of a tenant is past; then it is merged with its day, or written anew by
 * itself when another deletion is not due yet, or there is nothing to merge it with.
 */
export function planSideMerges<T extends SideFileName & HidingFile>(
  files: readonly T[],
  nowMs: number,
  { isDue = () => false, hasPast = () => false }: SideMergeOptions<T> = {},
): readonly T[] | undefined {
  const days = new Map<string, T[]>();
  const alone: T[] = [];
  for (const file of files) {
    const hides = new Set(file.tombstones?.map(({ deletion }) => isDue(deletion)));
    if (hides.has(true) || hasPast(file)) alone.push(file);
    if (hides.has(false)) continue;
    const name = `${file.shard} ${dayOf(file)}`;
    const same = days.get(name);
    if (same === undefined) days.set(name, [file]);
    else same.push(file);
  }
  const due = [...days.values()].filter((inputs) => {
    const day = dayOf(inputs[0]!);
    if (inputs.length < 2 || day === undefined) return false;
    return inputs.length >= FILES_MAX || nowMs >= day + DAY_MS + SETTLE_MS;
  });
  const merged = new Set(due.flat());
  const rewritten = alone.filter((file) => !merged.has(file)).map((file) => [file]);
  return [...due, ...rewritten].sort((a, b) => a[0]!.minMs - b[0]!.minMs || a[0]!.shard - b[0]!.shard)[0];
}
