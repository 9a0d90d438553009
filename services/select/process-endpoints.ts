// services/select/process-endpoints.ts: what this process tells about itself in Prometheus' shapes.
import { availableParallelism, hostname } from "node:os";
import { getHeapStatistics } from "node:v8";
import type { ExposedFamily } from "../../libs/runtime/index.ts";
import type { Endpoint } from "./api.ts";
import { renderData } from "./json.ts";
import { selfMetricsEndpoint } from "./self-metrics-endpoint.ts";

/** What only the composition of services knows. */
export interface ProcessFacts {
  /** Flags as they were written, without their dashes. */
  readonly flags: Readonly<Record<string, string>>;
  /** How long samples are kept, as text; "" where this process doesn't store any. */
  readonly retention: string;
  /** Damaged places that the last start found. */
  readonly damages: () => number;
  /** Segment of the write-ahead log that is being written; 0 where there is none. */
  readonly walSegment: () => number;
  readonly acceptsWrites: boolean;
  readonly selfMetrics: () => Promise<readonly ExposedFamily[]>;
}

/** Of a process that stores nothing and was given no flags. */
export const NO_FACTS: ProcessFacts = {
  flags: {},
  retention: "",
  damages: () => 0,
  walSegment: () => 0,
  acceptsWrites: false,
  selfMetrics: () => Promise.resolve([]),
};

/** What Prometheus calls flags of ours that mean the same: clients look for these. */
const PROMETHEUS_FLAGS: readonly (readonly [theirs: string, ours: string])[] = [
  ["query.lookback-delta", "lookback"],
  ["query.max-concurrency", "query-concurrency"],
  ["query.max-samples", "query-samples-max"],
  ["query.timeout", "query-timeout"],
  ["storage.tsdb.path", "data-dir"],
  ["web.listen-address", "http-listen"],
  ["web.max-connections", "http-connections-max"],
  ["log.level", "log-level"],
];

/** `status/config`, `status/flags`, `status/runtimeinfo`, `status/self_metrics`, `status/walreplay`, `notifications`, `notifications/live`. */
export function processEndpoints(facts: ProcessFacts, nowMs: () => number): Endpoint[] {
  const startTime = timeText(nowMs());
  const config = { yaml: configText(facts) };
  const flags = flagRecord(facts);
  const runtimeInfo = (): Uint8Array =>
    renderData({
      startTime,
      CWD: process.cwd(),
      hostname: hostname(),
      serverTime: timeText(nowMs()),
      reloadConfigSuccess: true,
      lastConfigTime: startTime,
      corruptionCount: facts.damages(),
      // The nearest that Node.js has: what keeps the process busy.
      goroutineCount: process.getActiveResourcesInfo().length,
      GOMAXPROCS: availableParallelism(),
      GOMEMLIMIT: getHeapStatistics().heap_size_limit,
      GOGC: "",
      GODEBUG: "",
      storageRetention: facts.retention,
    });
  const walReplay = (): Uint8Array => {
    const segment = facts.walSegment();
    return renderData({ min: 0, max: segment, current: segment });
  };
  return [
    { path: "status/config", acceptsPost: false, answer: () => renderData(config) },
    { path: "status/flags", acceptsPost: false, answer: () => renderData(flags) },
    selfMetricsEndpoint(facts.selfMetrics),
    { path: "status/runtimeinfo", acceptsPost: false, answer: runtimeInfo },
    // Asked by pages that wait for the engine.
    { path: "status/walreplay", acceptsPost: false, needsEngine: false, answer: walReplay },
    { path: "notifications", acceptsPost: false, needsEngine: false, answer: () => renderData([]) },
    // 204 tells a client that listens for events not to come again.
    { path: "notifications/live", acceptsPost: false, needsEngine: false, answer: () => "empty" },
  ];
}

/** As Go writes times: without a fraction of zeros. */
function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.?0*Z$/, "Z");
}

/** The part of Prometheus' configuration file that has a meaning here. */
function configText({ retention }: ProcessFacts): string {
  const storage = retention === "" ? "" : `storage:\n  tsdb:\n    retention:\n      time: ${retention}\n`;
  return `global:\n  external_labels: {}\n${storage}`;
}

function flagRecord({ flags, acceptsWrites }: ProcessFacts): Record<string, string> {
  const record: Record<string, string> = { ...flags, "web.enable-remote-write-receiver": String(acceptsWrites) };
  for (const [theirs, ours] of PROMETHEUS_FLAGS) if (flags[ours] !== undefined) record[theirs] = flags[ours];
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}
