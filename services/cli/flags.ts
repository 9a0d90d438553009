// services/cli/flags.ts: every flag of every command: form, default, unit, help. README lists the same.
import { totalmem } from "node:os";
import { DEFAULT_CLUSTER } from "../../libs/cluster/index.ts";
import {
  type Flag,
  formatDurationMs,
  formatSizeBytes,
  type HostPort,
  type LogFormat,
  type LogLevel,
  parseCount,
  parseDurationMs,
  parseHostPort,
  parseSizeBytes,
} from "../../libs/runtime/index.ts";
import type { Reserve } from "../../libs/tsdb/index.ts";
import { DEFAULT_INSERT_LIMITS } from "../insert/index.ts";
import { DEFAULT_RETENTION, parseRetention, RETENTION_FORM } from "./retention.ts";
import { parseTenantRetention, TENANT_RETENTION_FORM } from "./tenant-retention.ts";

const address = (fallback: string, help: string): Flag<HostPort> => {
  return {
    placeholder: "HOST:PORT",
    form: "HOST:PORT, [IPV6]:PORT or :PORT; port 0 picks a free one",
    help,
    fallback,
    parse: parseHostPort,
  };
};
const text = (placeholder: string, form: string, fallback: string | undefined, help: string): Flag<string> => {
  return { placeholder, form, help, fallback, parse: (t) => t };
};
const count = (min: number, max: number, fallback: number | string, help: string): Flag<number> => {
  const form = `a whole number from ${min} to ${max}, such as ${fallback}`;
  const parse = (t: string): number | undefined => within(parseCount(t), min, max);
  return { placeholder: "N", form, help, fallback: String(fallback), parse };
};
const size = (minBytes: number, maxBytes: number, fallbackBytes: number, help: string): Flag<number> => {
  const fallback = formatSizeBytes(fallbackBytes);
  const form = `a size with its unit (B, KiB, MiB, GiB) from ${formatSizeBytes(minBytes)} to ${formatSizeBytes(maxBytes)}, such as ${fallback}`;
  const parse = (t: string): number | undefined => within(parseSizeBytes(t), minBytes, maxBytes);
  return { placeholder: "SIZE", form, help, fallback, parse };
};
const duration = (minMs: number, maxMs: number, fallback: string, help: string): Flag<number> => {
  const form = `a duration with its unit (ms, s, m, h, d) from ${formatDurationMs(minMs)} to ${formatDurationMs(maxMs)}, such as ${fallback}`;
  const parse = (t: string): number | undefined => within(parseDurationMs(t), minMs, maxMs);
  return { placeholder: "DURATION", form, help, fallback, parse };
};
/** 0 stands for off. */
const durationOrOff = (minMs: number, maxMs: number, fallback: string, help: string): Flag<number> => {
  const form = `a duration from ${formatDurationMs(minMs)} to ${formatDurationMs(maxMs)}, such as ${fallback}, or off`;
  const parse = (t: string): number | undefined => (t === "off" ? 0 : within(parseDurationMs(t), minMs, maxMs));
  return { placeholder: "DURATION", form, help, fallback, parse };
};
const oneOf = <T extends string>(choices: readonly T[], fallback: T, help: string): Flag<T> => {
  const parse = (t: string): T | undefined => choices.find((c) => c === t);
  return { placeholder: choices.join("|"), form: `one of ${choices.join(", ")}`, help, fallback, parse };
};
const toggle = (help: string): Flag<boolean> => {
  const parse = (t: string): boolean | undefined => (t === "true" ? true : t === "false" ? false : undefined);
  return { placeholder: "", form: "true or false", help, fallback: "false", parse };
};

function within(n: number | undefined, min: number, max: number): number | undefined {
  return n === undefined || n < min || n > max ? undefined : n;
}

function parseReserve(t: string): Reserve | undefined {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(t)?.[1];
  if (percent !== undefined) return Number(percent) <= 90 ? { share: Number(percent) / 100 } : undefined;
  const bytes = parseSizeBytes(t);
  return bytes === undefined ? undefined : { bytes };
}

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const DAY_MS = 86_400_000;

/** A quarter of what the container, else the machine, has; at most 3 GiB. Whole MiB. */
function defaultHeadMemoryBytes(): number {
  const constrained = process.constrainedMemory();
  const available = constrained > 0 && constrained < totalmem() ? constrained : totalmem();
  return Math.max(64, Math.min(3 * 1024, Math.floor(available / 4 / MIB))) * MIB;
}

/** Where a service listens for HTTP. */
export const httpListen = (port: number): Flag<HostPort> => address(`127.0.0.1:${port}`, "Where to listen for HTTP.");

/** What every service has. */
export const serviceFlags = {
  logFormat: oneOf<LogFormat | "auto">(
    ["auto", "human", "json"],
    "auto",
    "Log lines for people or programs; auto: people on a terminal.",
  ),
  logLevel: oneOf<LogLevel>(["debug", "info", "warn", "error"], "info", "The least important lines to log."),
  httpConnectionsMax: count(1, 1_000_000, 4096, "Open HTTP connections; further ones are closed at once."),
  httpBodiesMax: size(
    MIB,
    64 * GIB,
    256 * MIB,
    "Request bodies that are being received, together; beyond: 503 for the longest.",
  ),
  shutdownTimeout: duration(0, DAY_MS, "30s", "How long running requests may take to finish when the process stops."),
  warmUp: duration(0, 60_000, "2s", "Time before readiness spent on making the code fast; 0: none."),
};

export const insertFlags = {
  writeBodyMax: size(
    1024,
    GIB,
    DEFAULT_INSERT_LIMITS.writeBodyMaxBytes,
    "Body of a write request as it arrives; beyond: 413.",
  ),
  writeDecodedMax: size(
    1024,
    GIB,
    DEFAULT_INSERT_LIMITS.writeDecodedMaxBytes,
    "Body of a write request after decompression; beyond: 413.",
  ),
  writeSeriesMax: count(
    1,
    10_000_000,
    DEFAULT_INSERT_LIMITS.writeSeriesMax,
    "Series of one write request that are not known yet; beyond: 400.",
  ),
  writeSideMax: count(
    1,
    1_000_000,
    DEFAULT_INSERT_LIMITS.writeSideMax,
    "Native histograms and exemplars of one write request, and changes of start times in it; beyond: 400.",
  ),
  labelsMax: count(1, 10_000, DEFAULT_INSERT_LIMITS.labelsMax, "Labels of one series, the metric name counted."),
  labelNameMax: size(1, 65_536, DEFAULT_INSERT_LIMITS.labelNameMaxBytes, "Length of a label name."),
  labelValueMax: size(1, MIB, DEFAULT_INSERT_LIMITS.labelValueMaxBytes, "Length of a label value."),
  seriesKeyMax: size(64, MIB, DEFAULT_INSERT_LIMITS.seriesKeyMaxBytes, "All label names and values of one series."),
  ownerQueueMax: size(
    MIB,
    4 * GIB,
    DEFAULT_INSERT_LIMITS.ownerQueueMaxBytes,
    "Bytes that wait for one storage or its acknowledgement; beyond: 503.",
  ),
  dictionaryMax: size(MIB, GIB, DEFAULT_INSERT_LIMITS.dictionaryMaxBytes, "References of one connection to a storage."),
  seriesCacheMax: count(
    1000,
    16_000_000,
    DEFAULT_INSERT_LIMITS.seriesCacheMax,
    "Series an insert recognises; beyond, it learns them anew.",
  ),
  metadataCacheMax: size(
    65_536,
    GIB,
    DEFAULT_INSERT_LIMITS.metadataCacheMaxBytes,
    "Metric metadata remembered, so that it is stored once.",
  ),
};

/** What an operator may do by hand; to delete series in a cluster, select and storages need it. */
export const adminFlags = {
  enableAdminApi: toggle("Serve /api/v1/admin/*: delete_series, flush, compact, snapshots."),
};

export const engineFlags = {
  dataDir: text("DIR", "a directory", "./data", "Where data is kept; made when missing."),
  replicationFactor: {
    placeholder: "N",
    form: "1; more copies come with the placement of shards",
    help: "Copies of each sample; storages take 1.",
    fallback: "1",
    parse: (t: string) => (t === "1" ? 1 : undefined),
  },
  retention: {
    placeholder: "LEVELS",
    form: RETENTION_FORM,
    help: "How long each level of resolution is kept.",
    fallback: DEFAULT_RETENTION,
    parse: parseRetention,
  },
  tenantRetention: {
    placeholder: "TENANTS",
    form: TENANT_RETENTION_FORM,
    help: "How long raw samples of single tenants are kept, such as team-a=7d,team-b=inf; others: --retention.",
    fallback: "",
    parse: parseTenantRetention,
  },
  retentionSize: {
    placeholder: "SIZE",
    form: "a size with its unit (MiB, GiB, TiB) of at least 1MiB, or inf",
    help: "What all blocks and files of histograms may take on the disk; beyond, the oldest go as a whole.",
    fallback: "inf",
    parse: (t: string) => (t === "inf" ? Number.POSITIVE_INFINITY : within(parseSizeBytes(t), MIB, 2 ** 53)),
  },
  headMemory: size(
    16 * MIB,
    Math.floor(3.9 * GIB),
    defaultHeadMemoryBytes(),
    "Memory of all that is not yet in blocks. A quarter of the container's by default.",
  ),
  readAhead: duration(
    0,
    60_000,
    "1s",
    "Time before readiness spent on reading the newest blocks as queries will, ten times as long after it between queries, and for blocks that come; 0: none.",
  ),
  diskReserve: {
    placeholder: "SIZE|PERCENT",
    form: "a size with its unit (B, KiB, MiB, GiB, TiB) or a share of the disk from 0% to 90%, such as 2%",
    help: "Room kept free on the disk; below it writes get 503, queries go on.",
    fallback: "2%",
    parse: parseReserve,
  },
  seriesMax: count(1, 100_000_000, 10_000_000, "Series stored; new ones beyond are refused."),
  tenantSeriesMax: count(1, 100_000_000, 10_000_000, "Series stored of one tenant; new ones beyond are refused."),
  maxFuture: duration(0, 36_500 * DAY_MS, "10m", "How far ahead of the clock a sample may lie."),
  lateWindow: duration(
    0,
    DAY_MS,
    "15m",
    "How long a window of two hours takes late samples before it is cut into blocks.",
  ),
  deleteUndo: duration(
    0,
    3650 * DAY_MS,
    "24h",
    "How long a deletion of series can be undone; then merges take its samples off the disk.",
  ),
  ...adminFlags,
};

/** Of commands that work on the directory of a stopped storage. */
export const directoryFlags = {
  dataDir: text("DIR", "a directory", "./data", "The data directory of a stopped storage."),
};

export const snapshotFlags = {
  ...directoryFlags,
  url: text(
    "URL",
    "an address such as http://127.0.0.1:8428",
    "",
    "A running storage to ask instead, which has --enable-admin-api.",
  ),
};

/** How many shards a new data directory has. */
export const shards = (fallback: number): Flag<number> => {
  return count(1, 65_536, fallback, "Virtual shards; fixed when the data directory is made.");
};

export const selectFlags = {
  queryTimeout: duration(1, DAY_MS, "2m", "How long a query may take, waiting included."),
  queryConcurrency: count(1, 10_000, 20, "Queries evaluated at once; the others wait."),
  queryQueueMax: count(0, 1_000_000, 200, "Queries waiting; further ones are refused with 429."),
  querySamplesMax: count(1, 1e12, "50e6", "Samples one query may read, and points it may hold."),
  querySeriesMax: count(1, 1e9, 1_000_000, "Series one query may select."),
  queryBytesMax: size(MIB, 1024 * GIB, 512 * MIB, "Memory of the points, and of labels made, that one query may hold."),
  queryAnswersMax: size(
    MIB,
    1024 * GIB,
    GIB,
    "Memory of results that clients are reading, together; further long answers are refused with 429.",
  ),
  queryStepsMax: count(1, 10_000_000, 11_000, "Steps of a range query after its first."),
  slowQuery: durationOrOff(1, DAY_MS, "5s", "Queries that take as long are logged, or off."),
  queryBodyMax: size(1024, GIB, 10 * MIB, "Form body of a query request; beyond: 413."),
  readSamplesMax: count(1, 1e12, "50e6", "Samples of one remote read."),
  readBytesMax: size(
    MIB,
    2 * GIB,
    64 * MIB,
    "Answer of a remote read that asks for samples instead of a stream of chunks.",
  ),
  lookback: duration(1, DAY_MS, "5m", "How far back an instant selector looks for a sample."),
  promqlExperimental: toggle("Accept what Prometheus keeps behind feature flags."),
  promqlStartTimestamps: toggle(
    "Let rate, increase, irate and resets look at start times, as use-start-timestamps does.",
  ),
  promqlDelayedNameRemoval: toggle("Drop metric names at the end of a query, as promql-delayed-name-removal does."),
};

/** What a storage offers others. */
export const storageFlags = {
  grpcListen: address("127.0.0.1:8400", "Where to listen for inserts and selects."),
  cluster: text(
    "NAME",
    "1 to 64 of A-Z a-z 0-9 . _ -",
    DEFAULT_CLUSTER,
    "Name of the cluster; the same on all its storages, fixed when the data directory is made.",
  ),
  insecure: toggle("Listen beyond this machine without TLS."),
};

/** The storages that an insert or a select talks to. */
export const storagesFlag: Flag<readonly string[]> = {
  placeholder: "ADDR[,ADDR]",
  form: "HOST:PORT[,HOST:PORT…], each once",
  help: "The storages.",
  fallback: undefined,
  parse: (t) => {
    const addresses = t.split(",").map((part) => part.trim());
    const isList = addresses.every((a) => (parseHostPort(a)?.port ?? 0) > 0 && parseHostPort(a)!.host !== "");
    return isList && new Set(addresses).size === addresses.length ? addresses : undefined;
  },
};

/** TLS between services. */
export const tlsFlags = {
  grpcTlsCert: text("FILE", "a PEM file", "", "Certificate for gRPC; TLS is off without it."),
  grpcTlsKey: text("FILE", "a PEM file", "", "Private key of the certificate."),
  grpcTlsCa: text("FILE", "a PEM file", "", "Authority that peers' certificates must come from."),
};

/** `off`, or how often `tidemark all` stores its own metrics; 0 stands for off. */
export const selfScrapeFlag: Flag<number> = durationOrOff(
  1000,
  3_600_000,
  "5s",
  "How often its own metrics are stored, so that the first graph is not empty.",
);
