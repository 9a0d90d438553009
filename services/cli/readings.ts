// services/cli/readings.ts: counters of engines and handlers → readings of the metrics. Names and helps: libs/runtime/metrics.ts.
import type { Readings } from "../../libs/runtime/index.ts";
import type { Db } from "../../libs/tsdb/index.ts";
import type { IngestHandler, OwnerStats } from "../insert/index.ts";

/** What an insert tells. */
export function insertReadings({ stats, series, owners }: IngestHandler): Readings {
  const byOwner = (value: (owner: OwnerStats) => number) => {
    return owners.map((owner) => ({ labels: { owner: owner.address }, value: value(owner) }));
  };
  return {
    tidemark_insert_requests_total: [...stats.replies].map(([code, value]) => ({ labels: { code: `${code}` }, value })),
    tidemark_insert_body_bytes_total: stats.bodyBytes,
    tidemark_insert_decoded_bytes_total: stats.decodedBytes,
    tidemark_insert_samples_received_total: stats.samplesReceived,
    tidemark_insert_samples_stored_total: stats.samplesStored,
    tidemark_insert_histograms_stored_total: stats.histogramsStored,
    tidemark_insert_exemplars_stored_total: stats.exemplarsStored,
    tidemark_insert_refused_total: [...stats.refused].map(([reason, value]) => ({ labels: { reason }, value })),
    tidemark_insert_metadata_sent_total: stats.metadataSent,
    tidemark_insert_series: series.known,
    tidemark_insert_series_bytes: series.sizeBytes,
    tidemark_insert_series_registered_total: series.registered,
    tidemark_insert_series_forgotten_total: series.forgotten,
    tidemark_owner_connected: byOwner((o) => (o.state === "connected" ? 1 : 0)),
    tidemark_owner_queue_bytes: byOwner((o) => o.queueBytes),
    tidemark_owner_batches_total: byOwner((o) => o.batches),
    tidemark_owner_sent_bytes_total: byOwner((o) => o.sentBytes),
    tidemark_owner_connections_total: byOwner((o) => o.connections),
    tidemark_owner_relabelled_total: byOwner((o) => o.relabelled),
    tidemark_owner_refused_total: byOwner((o) => o.refused),
    tidemark_owner_dictionary_bytes: byOwner((o) => o.dictionaryBytes),
  };
}

/** What a storage engine tells. */
export function engineReadings(db: Db): Readings {
  const { counters: c, head, wal, ...report } = db.report();
  const rejected = { future: c.samplesFuture, "too-old": c.samplesTooOld, "series-limit": c.samplesSeriesLimit };
  const reasons = Object.entries({ ...rejected, "id-collision": c.samplesIdCollision });
  return {
    tidemark_storage_series: report.seriesCount,
    tidemark_storage_series_limit: report.seriesMax,
    tidemark_storage_tenant_series_limit: report.tenantSeriesMax,
    tidemark_storage_series_refused_total: Object.entries(report.seriesRefused).map(([limit, value]) => {
      return { labels: { limit: limit.replace(/^--/, "") }, value };
    }),
    tidemark_storage_label_pairs: report.labelPairs,
    tidemark_storage_catalog_bytes: report.catalogBytes,
    tidemark_storage_sessions: report.sessions,
    tidemark_storage_batches_total: c.batches,
    tidemark_storage_samples_received_total: c.samplesReceived,
    tidemark_storage_samples_stored_total: c.samplesStored,
    tidemark_storage_samples_late_total: c.samplesLate,
    tidemark_storage_samples_duplicate_total: c.samplesDuplicate,
    tidemark_storage_samples_outvoted_total: c.samplesOutvoted,
    tidemark_storage_samples_rejected_total: reasons.map(([reason, value]) => ({ labels: { reason }, value })),
    tidemark_storage_histograms_stored_total: c.histogramsStored,
    tidemark_storage_exemplars_stored_total: c.exemplarsStored,
    tidemark_storage_start_times_stored_total: c.startsStored,
    tidemark_side_bytes: report.side.memoryBytes,
    tidemark_side_files: report.side.files,
    tidemark_side_files_bytes: report.side.sizeBytes,
    tidemark_storage_append_seconds_total: c.appendSumMs / 1000,
    tidemark_storage_append_max_seconds: c.appendMaxMs / 1000,
    tidemark_storage_metadata_dropped_total: report.metadataDropped,
    tidemark_storage_leaves_total: c.leaves,
    tidemark_storage_leaves_running: c.leavesRunning,
    tidemark_storage_samples_read_total: c.samplesRead,
    tidemark_heads: report.heads,
    tidemark_heads_sealed_early_total: report.earlySeals,
    tidemark_heads_used_bytes: report.headsUsedBytes,
    tidemark_blocks: report.blocks.count,
    tidemark_blocks_kept_bytes: report.readAhead.keptBytes,
    tidemark_blocks_read_ahead_total: report.readAhead.blocks,
    tidemark_blocks_read_ahead_running: report.readAhead.isRunning ? 1 : 0,
    tidemark_blocks_read_ahead_seconds_total: report.readAhead.workedMs / 1000,
    tidemark_blocks_bytes: report.blocks.sizeBytes,
    tidemark_blocks_samples: report.blocks.samples,
    tidemark_blocks_damaged: report.blocks.damaged,
    tidemark_storage_series_forgotten_total: report.forgotten,
    tidemark_storage_series_numbers: report.catalogNumbers,
    tidemark_index_bytes: report.index.sizeBytes,
    tidemark_index_blocks: report.index.indexed,
    tidemark_index_blocks_missing: report.index.missing,
    tidemark_index_rebuilt_total: report.index.rebuilt,
    tidemark_blocks_damaged_bytes: report.blocks.damagedBytes,
    tidemark_blocks_damaged_total: report.blocks.quarantined,
    tidemark_disk_free_bytes: report.disk.freeBytes,
    tidemark_disk_reserve_bytes: report.disk.reserveBytes,
    tidemark_storage_writable: db.readOnlyReason === undefined ? 1 : 0,
    tidemark_blocks_cut_total: report.cuts.blocks,
    tidemark_blocks_cut_samples_total: report.cuts.samples,
    tidemark_blocks_merged_total: report.cuts.merged,
    tidemark_blocks_expired_total: report.cuts.expired,
    tidemark_level_blocks: report.levels.map(({ level, count }) => ({ labels: { level }, value: count })),
    tidemark_level_blocks_bytes: report.levels.map(({ level, sizeBytes }) => ({ labels: { level }, value: sizeBytes })),
    tidemark_level_blocks_made_total: report.cuts.rows,
    tidemark_level_leaves_total: Object.entries(c.leavesOf).map(([level, value]) => ({ labels: { level }, value })),
    tidemark_blocks_shrunk_total: report.cuts.shrunk,
    tidemark_retention_cutoff_seconds: Number.isFinite(report.cutoffMs) ? report.cutoffMs / 1000 : 0,
    tidemark_deletions_total: c.deletions,
    tidemark_deletions_undone_total: c.deletionsUndone,
    tidemark_deletions_open: report.openDeletions,
    tidemark_head_memory_bytes: head.memoryBytes,
    tidemark_head_arena_bytes: head.arenaBytes,
    tidemark_head_arena_used_bytes: head.arenaUsedBytes,
    tidemark_head_samples: head.samples,
    tidemark_head_late_samples: head.lateSamples,
    tidemark_head_late_bytes: head.lateBytes,
    tidemark_head_groups: head.groupCount,
    tidemark_wal_writable: wal.state === "open" ? 1 : 0,
    tidemark_wal_groups_total: c.walGroups,
    tidemark_wal_written_bytes_total: c.walBytes,
    tidemark_wal_sync_seconds_total: c.walSyncSumMs / 1000,
    tidemark_wal_sync_max_seconds: c.walSyncMaxMs / 1000,
    tidemark_wal_waiting_bytes: wal.waitingBytes,
    tidemark_wal_segment: wal.segment,
    tidemark_wal_refusals_total: wal.refusals,
    tidemark_replay_seconds: db.replayed.elapsedMs / 1000,
    tidemark_replay_bytes: db.replayed.bytes,
    tidemark_replay_damages: db.replayed.damage.length,
  };
}
