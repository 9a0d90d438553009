// libs/wal/index.ts: the write-ahead log of a data directory, and the directory's identity and lock.
export { type DirectoryIdentity, identityPath, openIdentity, type WantedIdentity } from "./identity.ts";
export { type DirectoryLock, lockDirectory } from "./lock.ts";
export { RECORD, type RecordType } from "./record.ts";
export { type Registration, RegistrationBody } from "./registration.ts";
export type { MetadataSource, RegistrationSource } from "./repeat.ts";
export {
  type Damage,
  describeDamage,
  type ReplayHandler,
  type ReplayOptions,
  type ReplayReport,
  replay,
} from "./replay.ts";
export { markSuspect, suspectPath } from "./suspect.ts";
export { type GroupStats, openWal, type Wal, type WalOptions, type WalState } from "./wal.ts";
