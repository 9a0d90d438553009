// test/crash/points.ts: every point at which a process can die while it changes its directory, by name: what it was doing, and which change of
// the disk comes next. Two calls have the same name when they are the same line of the same work. points.test.ts dies at each of them.
import type { SimCall } from "../../libs/env/index.ts";

/** What a life does; a compaction's work is told apart by the files it is about. */
export type Activity =
  | ("start" | "stop" | "write" | "flush" | "tick" | "compact" | "retention")
  | ("delete" | "undelete" | "erase" | "snapshot");

const LOOKS: ReadonlySet<SimCall["kind"]> = new Set(["open", "read", "stat", "list", "size", "space"]);

const VERBS: Partial<Record<SimCall["kind"], string>> = {
  write: "is written",
  truncate: "is cut",
  fdatasync: "is synced",
  rename: "gets its name",
  unlink: "is removed",
  link: "is linked",
  makeDirectory: "is made",
  removeDirectory: "is removed",
};

/** By path below the data directory. */
const THINGS: readonly (readonly [RegExp, string])[] = [
  [/^LOCK/, "lock"],
  [/^tidemark\.json/, "identity"],
  [/^wal\/\d+\.wal$/, "log segment"],
  [/^blocks\/registry\.json/, "registry"],
  [/^blocks\/raw-.*\.tmp$/, "draft of a block"],
  [/^blocks\/raw-/, "block"],
  [/^blocks\/1[mh]-.*\.tmp$/, "draft of rows"],
  [/^blocks\/1[mh]-/, "rows"],
  [/^side\/.*\.tmp$/, "draft of a side file"],
  [/^side\/./, "side file"],
  [/^index\/log$/, "index"],
  [/^snapshots\/[^/]+\/(blocks|wal|side)\/./, "file of the snapshot"],
  [/^snapshots\/[^/]+\/(tidemark|blocks|wal|side)/, "part of the snapshot"],
  [/^snapshots\/./, "snapshot"],
];

/** Names the calls of one life, in their order. */
export class PointNames {
  private readonly dataDir: string;
  /** What the last file of this work that was not the registry was about. */
  private last: string | undefined;
  private activity: Activity = "start";

  constructor(dataDir: string) {
    this.dataDir = dataDir;
  }

  begin(activity: Activity): void {
    this.activity = activity;
    this.last = undefined;
  }

  /** The name of the point before a call; undefined for calls that change nothing. */
  nameOf({ kind, path, site }: SimCall): string | undefined {
    if (LOOKS.has(kind)) return undefined;
    const local = path.slice(this.dataDir.length + 1);
    const thing = THINGS.find(([pattern]) => pattern.test(local))?.[1] ?? `folder ${local}`;
    const work = this.workOf(thing, kind, site);
    if (kind === "fsyncDir") return `${work}: names are synced (${site})`;
    return `${work}: ${thing} ${VERBS[kind]}`;
  }

  private workOf(thing: string, kind: SimCall["kind"], site: string): string {
    const { activity } = this;
    if (thing === "index" || site === "index-name") return "index";
    if (site === "wal-truncated" || (thing === "log segment" && kind === "unlink")) return "log truncation";
    if (activity !== "compact" && activity !== "retention") return activity;
    if (/rows/.test(thing)) this.last = "rows";
    else if (/side/.test(thing)) this.last = "side files";
    else if (/draft of a block/.test(thing)) this.last = "merge";
    if (activity === "compact" || this.last === "rows") return this.last ?? "merge";
    return "retention";
  }
}

/** By what is at work: the changes of the disk that it makes, each a point to die before. */
const CHANGES = {
  delete: [
    "log segment is synced",
    "log segment is written",
    "names are synced (block-registry-name)",
    "registry gets its name",
    "registry is synced",
    "registry is written",
  ],
  erase: [
    "block is removed",
    "draft of a block gets its name",
    "draft of a block is synced",
    "draft of a block is written",
    "log segment is synced",
    "log segment is written",
    "names are synced (block-name)",
    "names are synced (block-registry-name)",
    "names are synced (merged-block-name)",
    "names are synced (wal-segment)",
    "registry gets its name",
    "registry is synced",
    "registry is written",
    "rows is removed",
  ],
  flush: [
    "draft of a block gets its name",
    "draft of a block is synced",
    "draft of a block is written",
    "draft of a side file gets its name",
    "draft of a side file is synced",
    "draft of a side file is written",
    "folder side is made",
    "log segment is synced",
    "log segment is written",
    "names are synced (block-name)",
    "names are synced (block-registry-name)",
    "names are synced (side-folder)",
    "names are synced (side-name)",
    "names are synced (wal-segment)",
    "registry gets its name",
    "registry is synced",
    "registry is written",
  ],
  index: ["index is synced", "index is written", "names are synced (index-name)"],
  "log truncation": ["log segment is removed", "names are synced (wal-truncated)"],
  merge: [
    "block is removed",
    "draft of a block gets its name",
    "draft of a block is synced",
    "draft of a block is written",
    "names are synced (block-registry-name)",
    "names are synced (merged-block-name)",
    "registry gets its name",
    "registry is synced",
    "registry is written",
  ],
  retention: [
    "block is removed",
    "names are synced (block-registry-name)",
    "registry gets its name",
    "registry is synced",
    "registry is written",
    "side file is removed",
  ],
  rows: [
    "block is removed",
    "draft of rows gets its name",
    "draft of rows is synced",
    "draft of rows is written",
    "names are synced (block-registry-name)",
    "names are synced (level-block-name)",
    "registry gets its name",
    "registry is synced",
    "registry is written",
    "rows is removed",
  ],
  "side files": [
    "draft of a side file gets its name",
    "draft of a side file is synced",
    "draft of a side file is written",
    "names are synced (side-name)",
    "side file is removed",
  ],
  snapshot: [
    "file of the snapshot is linked",
    "folder snapshots is made",
    "names are synced (snapshot-made)",
    "names are synced (snapshot-names)",
    "names are synced (snapshots-folder)",
    "part of the snapshot is linked",
    "part of the snapshot is made",
    "snapshot gets its name",
    "snapshot is made",
  ],
  start: [
    "folder blocks is made",
    "folder index is made",
    "folder wal is made",
    "identity gets its name",
    "identity is synced",
    "identity is written",
    "lock is written",
    "log segment is synced",
    "names are synced (block-registry-found)",
    "names are synced (block-registry-name)",
    "names are synced (blocks-folder)",
    "names are synced (data-directory)",
    "names are synced (identity-found)",
    "names are synced (identity-name)",
    "names are synced (wal-replayed-names)",
    "registry gets its name",
    "registry is synced",
    "registry is written",
  ],
  stop: ["lock is removed"],
  tick: [
    "block is removed",
    "draft of a block gets its name",
    "draft of a block is synced",
    "draft of a block is written",
    "draft of rows gets its name",
    "draft of rows is synced",
    "draft of rows is written",
    "lock is written",
    "names are synced (block-name)",
    "names are synced (block-registry-name)",
    "names are synced (level-block-name)",
    "names are synced (merged-block-name)",
    "registry gets its name",
    "registry is synced",
    "registry is written",
    "rows is removed",
  ],
  undelete: [
    "log segment is synced",
    "log segment is written",
    "names are synced (block-registry-name)",
    "registry gets its name",
    "registry is synced",
    "registry is written",
  ],
  write: ["log segment is synced", "log segment is written", "names are synced (wal-segment)"],
} satisfies Record<string, readonly string[]>;

/** What is met only when something has died before. */
const CHANGES_AFTER_DEATHS = {
  delete: ["names are synced (wal-segment)"],
  undelete: ["names are synced (wal-segment)"],
  snapshot: ["file of the snapshot is removed", "part of the snapshot is removed", "snapshot is removed"],
  start: [
    "block is removed",
    "draft of a block is removed",
    "draft of a side file is removed",
    "draft of rows is removed",
    "identity is removed",
    "lock gets its name",
    "lock is removed",
    "registry is removed",
    "rows is removed",
    "side file is removed",
  ],
} satisfies Record<string, readonly string[]>;

function namesOf(changes: Readonly<Record<string, readonly string[]>>): string[] {
  return Object.entries(changes).flatMap(([work, list]) => list.map((change) => `${work}: ${change}`));
}

/** Every point of an undisturbed life. */
export const POINTS: readonly string[] = namesOf(CHANGES);

export const POINTS_AFTER_DEATHS: readonly string[] = namesOf(CHANGES_AFTER_DEATHS);
