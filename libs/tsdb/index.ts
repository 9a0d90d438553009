// libs/tsdb/index.ts: one storage behind the seams of libs/model.
export type { CutReport } from "./cut-report.ts";
export { Db, type DbOptions, type DbReport } from "./db.ts";
export type { Reserve } from "./disk-reserve.ts";
export { Head, type HeadAppend, type HeadStats, headFullError, type SeriesSamples, type TimeColumn } from "./head.ts";
export { METADATA_FAMILIES_MAX } from "./metadata-store.ts";
export { type SnapshotOptions, snapshotStopped, snapshotsFolder } from "./snapshot.ts";
export { DbStats } from "./state.ts";
export { type VerifyOptions, type VerifyReport, verifyDirectory } from "./verify.ts";
