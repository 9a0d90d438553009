// test/promql/peer.ts: a real Prometheus with the series of peer-series.ts, asked over HTTP, and our engine with the same
// series on three shards behind the wire; both answers as the JSON of the query API.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError, labelValue, METRIC_NAME, type QueryContext, writeStale } from "../../libs/model/index.ts";
import { ALL_OPTIONS, Engine, ParseError, STOCK_OPTIONS } from "../../libs/promql/index.ts";
import { renderResult } from "../../services/select/json.ts";
import { freePort, type Running, start, stop, untilOk } from "../e2e/processes.ts";
import { compress, encodeWriteRequest, post, type WriteSeries } from "../e2e/remote-write.ts";
import { binary } from "../needs.ts";
import { Chance } from "./chance.ts";
import { pairsOf, peerSeries, SPAN_MS, startedSeries, stretches } from "./peer-series.ts";
import type { SampleQueryable } from "./sample-queryable.ts";
import { asStored, type StoredSeries } from "./script-samples.ts";
import { WiredQueryable } from "./wired-queryable.ts";

const FEATURES = ["promql-experimental-functions", "promql-extended-range-selectors", "promql-binop-fill-modifiers"];
/** When samples begin: always the same, so that a seed's answers are. An empty Prometheus takes any time. */
const BASE_MS = Date.UTC(2026, 1, 5, 8);
const MINUTE_MS = 60_000;
const CONFIG = "global:\n  evaluation_interval: 1m\notlp:\n  translation_strategy: NoTranslation\n";

/** One answer of the query API. */
export interface Answer {
  readonly status: string;
  readonly data?: { readonly resultType: string; readonly result: readonly unknown[] };
  readonly errorType?: string;
  readonly error?: string;
  readonly warnings?: readonly string[];
  readonly infos?: readonly string[];
}

export interface Question {
  readonly query: string;
  readonly startMs: number;
  readonly endMs: number;
  /** 0: an instant query at startMs. */
  readonly stepMs: number;
}

/** What Prometheus keeps behind feature flags that change meanings; an older one has no start times. */
export interface PeerModes {
  readonly delayedNames: boolean;
  readonly starts: boolean;
}

/** The Prometheus to compare with: PROM_BIN, else the one on the PATH. Undefined when there is none. */
export function findPrometheus(): { readonly command: string; readonly modern: boolean } | undefined {
  const command = binary("prometheus", "PROM_BIN");
  if (command === undefined) return undefined;
  const { stdout, stderr } = spawnSync(command, ["--help"], { encoding: "utf8" });
  return { command, modern: FEATURES.every((feature) => (stdout + stderr).replaceAll(/\s+/g, "").includes(feature)) };
}

/** Both sides, with the same series. */
export class Peer {
  readonly baseMs: number;
  readonly modern: boolean;
  /** Whether start times count, and there are counters that have them. */
  readonly starts: boolean;
  readonly #process: Running;
  readonly #dir: string;
  readonly #url: string;
  readonly #engine: Engine;
  readonly #storage: SampleQueryable;

  private constructor(
    process: Running,
    dir: string,
    url: string,
    baseMs: number,
    modes: PeerModes & { readonly modern: boolean },
    engine: Engine,
    storage: SampleQueryable,
  ) {
    this.#process = process;
    this.#dir = dir;
    this.#url = url;
    this.baseMs = baseMs;
    this.modern = modes.modern;
    this.starts = modes.starts;
    this.#engine = engine;
    this.#storage = storage;
  }

  /**
   * Starts a Prometheus on a free loopback port and loads it with the series that generated queries are about, or with those that `made`
   * gives from a time on. Errors: what it said when it did not get ready.
   */
  static async start(
    { command, modern }: { readonly command: string; readonly modern: boolean },
    seed: number,
    { delayedNames, starts }: PeerModes,
    made?: (baseMs: number) => StoredSeries[],
  ): Promise<Peer> {
    const dir = mkdtempSync(join(tmpdir(), "tidemark-peer-"));
    writeFileSync(join(dir, "prometheus.yml"), modern ? CONFIG : "global:\n  evaluation_interval: 1m\n");
    const address = `127.0.0.1:${await freePort()}`;
    const features = [...FEATURES];
    if (delayedNames) features.push("promql-delayed-name-removal");
    if (starts) features.push("st-storage", "xor2-encoding", "use-start-timestamps");
    const process = start("prometheus", command, [
      `--config.file=${join(dir, "prometheus.yml")}`,
      `--storage.tsdb.path=${join(dir, "data")}`,
      `--web.listen-address=${address}`,
      "--web.enable-remote-write-receiver",
      ...(starts ? ["--web.enable-otlp-receiver"] : []),
      ...(modern ? [`--enable-feature=${features.join(",")}`] : []),
    ]);
    const baseMs = BASE_MS;
    // Windows are left-open since 3.0: an older one agrees where no sample lies on an edge.
    const series = made?.(baseMs) ?? peerSeries(new Chance(seed), { baseMs, modern, shiftMs: modern ? 0 : 7013 });
    const parser = modern ? ALL_OPTIONS : STOCK_OPTIONS;
    const engine = new Engine({
      now: () => 0,
      delayedNameRemoval: modern && delayedNames,
      useStartTimestamps: starts,
      parser,
    });
    const storage = new WiredQueryable(3);
    const started = starts ? startedSeries(new Chance(seed + 1), baseMs) : [];
    for (const { labels, samples } of [...series, ...started]) storage.store({ labels, samples: asStored(samples) });
    const modes = { delayedNames, starts, modern };
    const peer = new Peer(process, dir, `http://${address}`, baseMs, modes, engine, storage);
    try {
      await untilOk(`http://${address}/-/ready`, 60_000, [process]);
      await peer.#load(series);
      if (starts) await peer.#loadStarted(started);
    } catch (error) {
      await peer.stop();
      throw error;
    }
    return peer;
  }

  async stop(): Promise<void> {
    await stop(this.#process);
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #load(series: readonly StoredSeries[]): Promise<void> {
    const body = encodeWriteRequest(
      series.flatMap(({ labels, samples }) =>
        stretches(samples).map((stretch) => writeSeriesOf({ labels, samples: stretch })),
      ),
    );
    const { status, text } = await post(`${this.#url}/api/v1/write`, compress(body));
    if (status < 200 || status > 299) throw new Error(`cannot load prometheus: got ${status} ${text}; want 2xx`);
  }

  /** Start times come in by OpenTelemetry only: the remote write receiver leaves them out. */
  async #loadStarted(series: readonly StoredSeries[]): Promise<void> {
    const response = await fetch(`${this.#url}/api/v1/otlp/v1/metrics`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ resourceMetrics: series.map(resourceOf) }),
    });
    if (!response.ok)
      throw new Error(`cannot load prometheus: got ${response.status} ${await response.text()}; want 2xx`);
  }

  /** A time range to ask about, and a query in which {T} stands for a time. */
  question(chance: Chance, written: string): Question {
    // An older Prometheus extrapolates otherwise where series begin.
    const from = this.modern ? 0 : 80;
    const at = this.baseMs + (from + chance.below(SPAN_MS / 15_000 + 20 - from)) * 15_000;
    const fixed = this.baseMs + (from / 4 + chance.below(40 - from / 4)) * MINUTE_MS;
    const query = written.replaceAll("{T}", String(fixed / 1000));
    if (chance.oneIn(2)) return { query, startMs: at, endMs: at, stepMs: 0 };
    const stepMs = chance.pick([15_000, 60_000, 47_000, 300_000]);
    return { query, startMs: at, endMs: at + stepMs * chance.below(12), stepMs };
  }

  /** What Prometheus answers. */
  async theirs({ query, startMs, endMs, stepMs }: Question): Promise<Answer> {
    const parameters =
      stepMs === 0
        ? { query, time: `${startMs / 1000}` }
        : { query, start: `${startMs / 1000}`, end: `${endMs / 1000}`, step: `${stepMs / 1000}` };
    const path = stepMs === 0 ? "query" : "query_range";
    const response = await fetch(`${this.#url}/api/v1/${path}`, {
      method: "POST",
      body: new URLSearchParams(parameters),
    });
    return (await response.json()) as Answer;
  }

  /** What we answer. */
  async ours({ query, startMs, endMs, stepMs }: Question): Promise<Answer> {
    const context: QueryContext = {
      tenant: "t",
      signal: new AbortController().signal,
      deadlineMs: Number.MAX_SAFE_INTEGER,
      samplesMax: 50e6,
    };
    try {
      const { value, warnings, infos } =
        stepMs === 0
          ? await this.#engine.instant(this.#storage, query, startMs, context)
          : await this.#engine.range(this.#storage, query, startMs, endMs, stepMs, context);
      return JSON.parse(Buffer.concat([...renderResult(value, "", { warnings, infos })]).toString()) as Answer;
    } catch (error) {
      if (!(error instanceof AppError || error instanceof ParseError)) throw error;
      return {
        status: "error",
        errorType: error instanceof ParseError ? "bad_data" : "execution",
        error: error.message,
      };
    }
  }
}

/** A counter as OpenTelemetry has it: job and instance are attributes of a resource. */
function resourceOf({ labels, samples }: StoredSeries): unknown {
  const attribute = (key: string, value: string) => ({ key, value: { stringValue: value } });
  const nanoseconds = (ms: number) => (ms === 0 ? "0" : `${ms}000000`);
  const dataPoints = samples.map(({ timeMs, startMs, value }) => ({
    startTimeUnixNano: nanoseconds(startMs),
    timeUnixNano: nanoseconds(timeMs),
    asDouble: value,
  }));
  const resource = {
    attributes: [
      attribute("service.name", labelValue(labels, "job")),
      attribute("service.instance.id", labelValue(labels, "instance")),
    ],
  };
  const sum = { aggregationTemporality: 2, isMonotonic: true, dataPoints };
  return { resource, scopeMetrics: [{ metrics: [{ name: labelValue(labels, METRIC_NAME), sum }] }] };
}

function writeSeriesOf({ labels, samples }: StoredSeries): WriteSeries {
  const floats = samples.filter((sample) => sample.histogram === undefined);
  const values = new Float64Array(floats.length);
  floats.forEach((sample, i) => {
    if (sample.stale) writeStale(values, i);
    else values[i] = sample.value;
  });
  const histograms = samples.flatMap(({ timeMs, histogram }) =>
    histogram === undefined ? [] : [{ timeMs, histogram }],
  );
  return { labels: pairsOf(labels), times: floats.map((sample) => sample.timeMs), values, histograms };
}
