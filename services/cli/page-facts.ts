// services/cli/page-facts.ts: what the start page says about a storage engine.
import { formatSizeBytes } from "../../libs/runtime/index.ts";
import type { Db } from "../../libs/tsdb/index.ts";

/** Rows for the page: what, how much. */
export function pageFacts(db: Db, dataDir: string): readonly (readonly [string, string])[] {
  const { head, wal, seriesCount, seriesMax } = db.report();
  const used = `${formatSizeBytes(head.arenaUsedBytes)} of ${formatSizeBytes(head.arenaBytes)}`;
  const facts: (readonly [string, string])[] = [
    ["Series", `${seriesCount.toLocaleString("en")} of ${seriesMax.toLocaleString("en")}`],
    ["Samples in memory", (head.samples + head.lateSamples).toLocaleString("en")],
    ["Head memory", used],
    ["Data directory", dataDir],
    ["WAL", wal.state],
  ];
  if (db.readOnlyReason !== undefined) facts.push(["Read only", db.readOnlyReason]);
  if (db.damagedBlocks.length > 0)
    facts.push(["Damaged blocks", `${db.damagedBlocks.length}, not served; see the log`]);
  const { damage } = db.replayed;
  if (damage.length > 0) facts.push(["Damage found at the start", `${damage.length} places; see the log`]);
  return facts;
}
