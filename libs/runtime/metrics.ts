// libs/runtime/metrics.ts: every metric Tidemark shows about itself, and how it gets its values.
// The services count in plain objects; values are read from them when /metrics is asked for, so that no sample and no
// request pays for a metric library call. Names, help texts and label names stand here and nowhere else.
import { Counter, collectDefaultMetrics, Gauge, type Metric, Registry } from "prom-client";
import { DURATION_BOUNDS_S, type DurationHistogram, type HttpStats } from "./http-stats.ts";

interface Described {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels?: readonly string[];
}

/** The table of metrics; ARCHITECTURE.md lists the same. Process and Node.js metrics come from prom-client itself. */
export const METRICS = {
  tidemark_build_info: {
    type: "gauge",
    labels: ["version", "service", "node"],
    help: "Always 1; the labels say what runs.",
  },
  tidemark_ready: { type: "gauge", help: "1 while the service is ready, 0 while it starts or stops." },

  tidemark_http_requests_total: { type: "counter", labels: ["route", "code"], help: "HTTP requests answered." },
  tidemark_http_request_duration_seconds: {
    type: "histogram",
    labels: ["route"],
    help: "Time from a request's headers to the end of its answer.",
  },
  tidemark_http_bodies_bytes: { type: "gauge", help: "Request bodies that are being received." },
  tidemark_http_bodies_refused_total: {
    type: "counter",
    help: "Requests refused because too much was being received at once (--http-bodies-max).",
  },
  tidemark_http_requests_in_flight: { type: "gauge", help: "HTTP requests being answered." },

  tidemark_insert_requests_total: { type: "counter", labels: ["code"], help: "Write requests answered." },
  tidemark_insert_body_bytes_total: { type: "counter", help: "Bytes of write requests as they arrived." },
  tidemark_insert_decoded_bytes_total: { type: "counter", help: "Bytes of write requests after decompression." },
  tidemark_insert_samples_received_total: { type: "counter", help: "Samples in well-formed write requests." },
  tidemark_insert_samples_stored_total: { type: "counter", help: "Samples acknowledged to clients." },
  tidemark_insert_histograms_stored_total: { type: "counter", help: "Native histograms acknowledged to clients." },
  tidemark_insert_exemplars_stored_total: { type: "counter", help: "Exemplars acknowledged to clients." },
  tidemark_insert_refused_total: {
    type: "counter",
    labels: ["reason"],
    help: "Samples and other entries refused for good.",
  },
  tidemark_insert_metadata_sent_total: { type: "counter", help: "Metadata entries sent to storages." },
  tidemark_insert_series: { type: "gauge", help: "Series in the table that recognises label sets." },
  tidemark_insert_series_bytes: { type: "gauge", help: "Memory of the table that recognises label sets." },
  tidemark_insert_series_registered_total: { type: "counter", help: "Series that were new to this process." },
  tidemark_insert_series_forgotten_total: {
    type: "counter",
    help: "Series dropped from the table because nobody wrote them.",
  },
  tidemark_owner_connected: { type: "gauge", labels: ["owner"], help: "1 while the storage is connected." },
  tidemark_owner_queue_bytes: {
    type: "gauge",
    labels: ["owner"],
    help: "Bytes waiting for a storage or for its acknowledgement.",
  },
  tidemark_owner_batches_total: { type: "counter", labels: ["owner"], help: "Batches given to a storage." },
  tidemark_owner_sent_bytes_total: { type: "counter", labels: ["owner"], help: "Bytes of batches sent to a storage." },
  tidemark_owner_connections_total: { type: "counter", labels: ["owner"], help: "Connections made to a storage." },
  tidemark_owner_relabelled_total: { type: "counter", labels: ["owner"], help: "Batches sent again with labels." },
  tidemark_owner_refused_total: {
    type: "counter",
    labels: ["owner"],
    help: "Batches not taken because a storage's queue was full.",
  },
  tidemark_owner_dictionary_bytes: { type: "gauge", labels: ["owner"], help: "Memory of a connection's references." },

  tidemark_storage_series: { type: "gauge", help: "Series that are written." },
  tidemark_storage_series_limit: { type: "gauge", help: "Series that may be stored (--series-max)." },
  tidemark_storage_tenant_series_limit: {
    type: "gauge",
    help: "Series that one tenant may have (--tenant-series-max).",
  },
  tidemark_storage_series_refused_total: {
    type: "counter",
    labels: ["limit"],
    help: "New series refused, by the flag of the limit that was met.",
  },
  tidemark_storage_label_pairs: { type: "gauge", help: "Distinct label pairs in the index." },
  tidemark_storage_catalog_bytes: { type: "gauge", help: "Memory of series, labels and index." },
  tidemark_storage_sessions: { type: "gauge", help: "Connected inserts." },
  tidemark_storage_batches_total: { type: "counter", help: "Batches received from inserts." },
  tidemark_storage_samples_received_total: { type: "counter", help: "Samples received from inserts." },
  tidemark_storage_samples_stored_total: { type: "counter", help: "Samples stored." },
  tidemark_storage_samples_late_total: { type: "counter", help: "Samples stored that came out of order." },
  tidemark_storage_samples_duplicate_total: {
    type: "counter",
    help: "Samples that were there already and were dropped before the WAL.",
  },
  tidemark_storage_samples_outvoted_total: { type: "counter", help: "Samples whose time has another value that wins." },
  tidemark_storage_samples_rejected_total: { type: "counter", labels: ["reason"], help: "Samples refused for good." },
  tidemark_storage_histograms_stored_total: { type: "counter", help: "Native histograms stored." },
  tidemark_storage_exemplars_stored_total: { type: "counter", help: "Exemplars stored." },
  tidemark_storage_start_times_stored_total: { type: "counter", help: "Start times of series stored." },
  tidemark_side_bytes: {
    type: "gauge",
    help: "Memory of histograms, exemplars and start times that are not in files yet.",
  },
  tidemark_side_files: { type: "gauge", help: "Files of histograms, exemplars and start times." },
  tidemark_side_files_bytes: { type: "gauge", help: "Size of these files." },
  tidemark_storage_append_seconds_total: {
    type: "counter",
    help: "Time from a batch's arrival to its durability, summed.",
  },
  tidemark_storage_append_max_seconds: { type: "gauge", help: "The longest of these times since the start." },
  tidemark_storage_metadata_dropped_total: { type: "counter", help: "Metadata entries beyond the limit of families." },
  tidemark_storage_leaves_total: { type: "counter", help: "Query leaves evaluated." },
  tidemark_storage_leaves_running: { type: "gauge", help: "Query leaves and raw reads under way." },
  tidemark_storage_samples_read_total: { type: "counter", help: "Samples read by query leaves." },
  tidemark_head_memory_bytes: { type: "gauge", help: "Memory that all heads together may use (--head-memory)." },
  tidemark_head_arena_bytes: { type: "gauge", help: "Memory of the head that chunks can use." },
  tidemark_head_arena_used_bytes: { type: "gauge", help: "Memory of the head that chunks use." },
  tidemark_head_samples: { type: "gauge", help: "Samples in the head." },
  tidemark_head_late_samples: { type: "gauge", help: "Samples in the out-of-order buffer." },
  tidemark_head_late_bytes: { type: "gauge", help: "Memory of the out-of-order buffer." },
  tidemark_head_groups: { type: "gauge", help: "Groups of series that share timestamps." },
  tidemark_wal_writable: { type: "gauge", help: "1 while the WAL takes records." },
  tidemark_wal_groups_total: { type: "counter", help: "Groups of records written with one fdatasync." },
  tidemark_wal_written_bytes_total: { type: "counter", help: "Bytes written to the WAL." },
  tidemark_wal_sync_seconds_total: { type: "counter", help: "Time spent in fdatasync." },
  tidemark_wal_sync_max_seconds: { type: "gauge", help: "The longest fdatasync since the start." },
  tidemark_wal_waiting_bytes: { type: "gauge", help: "Bytes waiting for the WAL." },
  tidemark_wal_segment: { type: "gauge", help: "Number of the segment being written." },
  tidemark_wal_refusals_total: {
    type: "counter",
    help: "Records not taken because too many wait or the disk is full.",
  },
  tidemark_heads: { type: "gauge", help: "Heads that hold samples: one for each window that is not in blocks yet." },
  tidemark_heads_sealed_early_total: {
    type: "counter",
    help: "Windows sealed before their time because memory ran short.",
  },
  tidemark_heads_used_bytes: { type: "gauge", help: "Memory that all heads use." },
  tidemark_blocks: { type: "gauge", help: "Live blocks." },
  tidemark_blocks_kept_bytes: { type: "gauge", help: "Memory of what was read of blocks and is kept." },
  tidemark_blocks_read_ahead_total: {
    type: "counter",
    help: "Blocks read since the start before queries asked for them (--read-ahead).",
  },
  tidemark_blocks_read_ahead_running: { type: "gauge", help: "1 while blocks are read ahead." },
  tidemark_blocks_read_ahead_seconds_total: { type: "counter", help: "Time that reading ahead has worked." },
  tidemark_blocks_bytes: { type: "gauge", help: "Size of the live blocks." },
  tidemark_blocks_samples: { type: "gauge", help: "Samples in the live blocks." },
  tidemark_blocks_damaged: {
    type: "gauge",
    help: "Blocks, and files of histograms, that are damaged or missing and are not served.",
  },
  tidemark_blocks_damaged_bytes: { type: "gauge", help: "Size of the blocks and files that are not served." },
  tidemark_blocks_damaged_total: {
    type: "counter",
    help: "Blocks and files of histograms found damaged since the start.",
  },
  tidemark_disk_free_bytes: { type: "gauge", help: "Free room on the data directory's disk." },
  tidemark_disk_reserve_bytes: { type: "gauge", help: "Room kept free there (--disk-reserve)." },
  tidemark_storage_writable: { type: "gauge", help: "1 while writes are taken; the log and the answers say why not." },
  tidemark_storage_series_forgotten_total: {
    type: "counter",
    help: "Series that left the catalogue because nobody wrote them.",
  },
  tidemark_storage_series_numbers: {
    type: "gauge",
    help: "Series numbers in use, or waiting to pass to another series.",
  },
  tidemark_index_bytes: { type: "gauge", help: "Size of the persistent index on disk." },
  tidemark_index_blocks: { type: "gauge", help: "Live blocks whose series are in the persistent index." },
  tidemark_index_blocks_missing: { type: "gauge", help: "Live blocks that are to be put into the persistent index." },
  tidemark_index_rebuilt_total: {
    type: "counter",
    help: "Blocks put into the persistent index again because it had lost them.",
  },
  tidemark_blocks_cut_total: { type: "counter", help: "Blocks written from heads." },
  tidemark_blocks_cut_samples_total: { type: "counter", help: "Samples written from heads into blocks." },
  tidemark_blocks_merged_total: { type: "counter", help: "Blocks that were merged into larger ones." },
  tidemark_blocks_shrunk_total: {
    type: "counter",
    help: "Blocks and files of histograms dropped because all took more than --retention-size.",
  },
  tidemark_retention_cutoff_seconds: {
    type: "gauge",
    help: "Time up to which samples were dropped for --retention-size; 0 when none were.",
  },
  tidemark_deletions_total: { type: "counter", help: "Deletions of series that were executed." },
  tidemark_deletions_undone_total: { type: "counter", help: "Deletions of series that were undone." },
  tidemark_deletions_open: {
    type: "gauge",
    help: "Deletions whose samples are hidden and still on the disk.",
  },
  tidemark_blocks_expired_total: {
    type: "counter",
    help: "Blocks dropped because all their samples were past retention.",
  },

  tidemark_level_blocks: { type: "gauge", labels: ["level"], help: "Live blocks of a level of resolution." },
  tidemark_level_blocks_bytes: { type: "gauge", labels: ["level"], help: "Size of the live blocks of a level." },
  tidemark_level_blocks_made_total: {
    type: "counter",
    help: "Blocks of rows, and of samples in place of rows, that were made, renewed or joined.",
  },
  tidemark_level_leaves_total: {
    type: "counter",
    labels: ["level"],
    help: "Query leaves answered from a level of resolution.",
  },

  tidemark_replay_seconds: { type: "gauge", help: "How long the last replay of the WAL took." },
  tidemark_replay_bytes: { type: "gauge", help: "Bytes of WAL that the last start read." },
  tidemark_replay_damages: {
    type: "gauge",
    help: "Damaged places the last start found in the WAL, torn tails included.",
  },

  tidemark_query_duration_seconds: {
    type: "histogram",
    labels: ["kind"],
    help: "Time to evaluate a query, waiting included.",
  },
  tidemark_queries_running: { type: "gauge", help: "Queries being evaluated." },
  tidemark_queries_waiting: { type: "gauge", help: "Queries waiting for one of --query-concurrency places." },
  tidemark_query_answers_bytes: { type: "gauge", help: "Memory of results that clients are reading." },
  tidemark_queries_refused_total: {
    type: "counter",
    labels: ["reason"],
    help: "Queries that ended without an answer, by errorType.",
  },
  tidemark_query_limits_total: {
    type: "counter",
    labels: ["limit"],
    help: "Queries refused or stopped by a limit, by its flag.",
  },
  tidemark_queries_slow_total: { type: "counter", help: "Queries that took --slow-query or longer." },
  tidemark_reads_total: { type: "counter", labels: ["form"], help: "Remote reads answered, by form." },
  tidemark_query_samples_total: { type: "counter", help: "Samples read by queries." },
  tidemark_self_scrape_failures_total: { type: "counter", help: "Own scrapes that could not be stored." },
} as const satisfies Record<string, Described>;

export type MetricName = keyof typeof METRICS;

/** One value of a metric with labels. */
export interface LabelledValue {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number | DurationHistogram;
}

/** What a source reports: a number for a metric without labels, a list for one with. */
export type Readings = { readonly [K in MetricName]?: number | readonly LabelledValue[] };

/** One value as Prometheus sees it, for the self-scrape. */
export interface ExposedFamily {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly values: readonly {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly value: number;
  }[];
}

/** The metrics of one process. */
export class Metrics {
  static readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #registry = new Registry();
  readonly #sources: (() => Readings)[] = [];
  readonly #metrics = new Map<MetricName, Counter | Gauge | SnapshotHistogram>();

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
  }

  /** Adds a function that is called whenever metrics are collected. Several sources may report one labelled metric. */
  addSource(source: () => Readings): void {
    this.#sources.push(source);
  }

  /** The exposition text, version 0.0.4. */
  async text(): Promise<string> {
    this.#read();
    return this.#registry.metrics();
  }

  /** The same values as data. */
  async families(): Promise<ExposedFamily[]> {
    this.#read();
    const families = (await this.#registry.getMetricsAsJSON()) as unknown as RegistryFamily[];
    return families.map((f) => ({
      name: f.name,
      help: f.help,
      type: f.type,
      values: f.values.map((v) => ({ name: v.metricName ?? f.name, labels: v.labels, value: v.value })),
    }));
  }

  #read(): void {
    const all = new Map<MetricName, LabelledValue[]>();
    for (const source of this.#sources) {
      for (const [name, reading] of Object.entries(source()) as [MetricName, number | readonly LabelledValue[]][]) {
        const values = typeof reading === "number" ? [{ labels: {}, value: reading }] : reading;
        const known = all.get(name);
        if (known === undefined) all.set(name, [...values]);
        else known.push(...values);
      }
    }
    for (const [name, values] of all) this.#set(name, values);
  }

  #set(name: MetricName, values: readonly LabelledValue[]): void {
    let metric = this.#metrics.get(name);
    if (metric === undefined) {
      metric = this.#create(name);
      this.#metrics.set(name, metric);
    }
    if (metric instanceof SnapshotHistogram) {
      metric.values = values;
      return;
    }
    metric.reset();
    for (const { labels, value } of values) {
      if (typeof value === "number") metric.inc(labels, value);
    }
  }

  #create(name: MetricName): Counter | Gauge | SnapshotHistogram {
    const described: Described = METRICS[name];
    const settings = {
      name,
      help: described.help,
      labelNames: [...(described.labels ?? [])],
      registers: [this.#registry],
    };
    if (described.type === "counter") return new Counter(settings);
    if (described.type === "gauge") return new Gauge(settings);
    const histogram = new SnapshotHistogram(name, described.help);
    this.#registry.registerMetric(histogram as unknown as Metric);
    return histogram;
  }
}

/** The shape of prom-client's getMetricsAsJSON; its own declaration leaves out the values. */
interface RegistryFamily {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly values: readonly {
    readonly metricName?: string;
    readonly labels: Record<string, string>;
    readonly value: number;
  }[];
}

/** A histogram whose buckets were counted elsewhere: prom-client's own only takes single observations. */
class SnapshotHistogram {
  readonly name: string;
  readonly help: string;
  values: readonly LabelledValue[] = [];

  constructor(name: string, help: string) {
    this.name = name;
    this.help = help;
  }

  /** Called by the registry. */
  async get(): Promise<object> {
    const values = this.values.flatMap(({ labels, value }) =>
      typeof value === "number" ? [] : this.#expose(labels, value),
    );
    return { name: this.name, help: this.help, type: "histogram", values, aggregator: "sum" };
  }

  #expose(labels: Readonly<Record<string, string>>, histogram: DurationHistogram): object[] {
    const out: object[] = [];
    let total = 0;
    histogram.counts.forEach((count, i) => {
      total += count;
      const le = i < DURATION_BOUNDS_S.length ? String(DURATION_BOUNDS_S[i]) : "+Inf";
      out.push({ metricName: `${this.name}_bucket`, labels: { ...labels, le }, value: total });
    });
    out.push({ metricName: `${this.name}_sum`, labels, value: histogram.sumSeconds });
    out.push({ metricName: `${this.name}_count`, labels, value: total });
    return out;
  }
}

/** The readings of an HTTP server. */
export function httpReadings(stats: HttpStats): Readings {
  const requests: LabelledValue[] = [];
  const durations: LabelledValue[] = [];
  for (const [route, { byStatus, duration }] of stats.routes) {
    for (const [code, value] of byStatus) requests.push({ labels: { route, code: String(code) }, value });
    durations.push({ labels: { route }, value: duration });
  }
  return {
    tidemark_http_requests_total: requests,
    tidemark_http_request_duration_seconds: durations,
    tidemark_http_requests_in_flight: stats.inFlight,
    tidemark_http_bodies_bytes: stats.bodies.bytes,
    tidemark_http_bodies_refused_total: stats.bodies.refused,
  };
}
