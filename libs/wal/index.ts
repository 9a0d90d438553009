// libs/wal/index.ts: the write-ahead log of a data directory, and the directory's identity and lock.
export { WAL_DESCRIBERS } from "./describe.ts";
export { type DirectoryIdentity, identityPath, openIdentity, readIdentity, type WantedIdentity } from "./identity.ts";
export { type DirectoryLock, lockDirectory } from "./lock.ts";
export { RECORD, type RecordType } from "./record.ts";
export { Registration, RegistrationBody } from "./registration.ts";
export type { MetadataSource, RegistrationSource } from "./repeat.ts";
export {
  type Damage,
  describeDamage,
  type ReplayHandler,
  type ReplayOptions,
  type ReplayReport,
  replay,
} from "./replay.ts";
export { listSegments, segmentPath, walFolder } from "./segment.ts";
export { markSuspect, settleSuspect, suspectPath, suspicionOf } from "./suspect.ts";
export { type GroupStats, openWal, type Wal, type WalOptions, type WalState } from "./wal.ts";
