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
/** What a writer leaves when it dies. */
export const isSideDraft = (name: string): boolean => DRAFT.test(name);

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

/** Files of one shard and UTC day that are to become one: the oldest such day; undefined when there is none. */
export function planSideMerges<T extends SideFileName>(files: readonly T[], nowMs: number): readonly T[] | undefined {
  const days = new Map<string, T[]>();
  for (const file of files) {
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
  return due.sort((a, b) => a[0]!.minMs - b[0]!.minMs || a[0]!.shard - b[0]!.shard)[0];
}
