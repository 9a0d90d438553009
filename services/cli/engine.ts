// services/cli/engine.ts: opens the storage engine of this process from the flags, and says what its start found.
import { cryptoRandom, NodeFileSystem, nodeClock, nodeProcesses } from "../../libs/env/index.ts";
import type { FlagValues, Logger } from "../../libs/runtime/index.ts";
import { Db, type DbOptions } from "../../libs/tsdb/index.ts";
import { describeDamage } from "../../libs/wal/index.ts";
import type { engineFlags } from "./flags.ts";

export type EngineValues = FlagValues<typeof engineFlags> & { readonly shards: number };

/** Log lines for damage, at most. */
const DAMAGE_LINES_MAX = 20;

/** Opens the data directory. Errors: as Db.open. */
export async function openEngine(
  values: EngineValues,
  cluster: Pick<DbOptions, "clusterId" | "hashSeed">,
  log: Logger,
): Promise<Db> {
  const db = await Db.open({
    ...cluster,
    dataDir: values.dataDir,
    fs: new NodeFileSystem(),
    clock: nodeClock,
    random: cryptoRandom,
    processes: nodeProcesses,
    shardCount: values.shards,
    headMemoryBytes: values.headMemory,
    headTotalBytes: values.headMemory,
    retentionMs: values.retention.rawMs,
    rowRetentionMs: { "1m": values.retention.minuteMs, "1h": values.retention.hourMs },
    tenantRetentionMs: values.tenantRetention,
    retentionBytes: values.retentionSize,
    maxFutureMs: values.maxFuture,
    lateWindowMs: values.lateWindow,
    diskReserve: values.diskReserve,
    seriesMax: values.seriesMax,
    deleteUndoMs: values.deleteUndo,
    tenantSeriesMax: values.tenantSeriesMax,
    walMode: "worker",
    onNotice: (notice) => log.info(notice),
    onProblem: (problem) => log.warn(problem),
  });
  const { counts, bytes, damage, elapsedMs } = db.replayed;
  log.info({ dataDir: values.dataDir, ...counts, bytes, elapsedMs: Math.round(elapsedMs) }, "data directory is open");
  for (const one of damage.slice(0, DAMAGE_LINES_MAX)) log.warn(`damage in the WAL: ${describeDamage(one)}`);
  if (damage.length > DAMAGE_LINES_MAX) log.warn(`${damage.length - DAMAGE_LINES_MAX} more damaged places in the WAL`);
  if (db.damagedBlocks.length > 0) log.warn(`${db.damagedBlocks.length} damaged blocks are not served`);
  if (db.readOnlyReason !== undefined) log.error(db.readOnlyReason);
  return db;
}
