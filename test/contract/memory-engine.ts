// test/contract/memory-engine.ts: a storage engine of Maps: the slow, obvious twin that contract suites are tried on.
// Knows the rollups last, sum_over_time, count_over_time and samples.
import {
  type BatchAck,
  CanceledError,
  compareExemplars,
  compareLabels,
  compareUtf8,
  compileMatcher,
  decodeSeriesKey,
  type Exemplar,
  type IngestSession,
  InvalidError,
  isStale,
  type Labels,
  type Leaf,
  type LeafResult,
  LimitError,
  labelsFromPairs,
  labelsKey,
  labelValue,
  type Matcher,
  type MetadataEntry,
  matchLabels,
  onlyLabels,
  type Queryable,
  type QueryContext,
  type RawColumn,
  type RawRequest,
  type Rejection,
  type SeriesExemplars,
  type SideAck,
  type Statistics,
  type StepColumn,
  type StorageIdentity,
  TimeoutError,
  type TimeRange,
  UnavailableError,
  withoutLabels,
} from "../../libs/model/index.ts";
import type { StorageEngine } from "../../libs/rpc/index.ts";
import { decodeSideBatch, type NamedSide } from "../../libs/side/index.ts";
import { type Batch, readBatch } from "./ingest-batch.ts";
import { naiveStatistics } from "./naive-statistics.ts";

interface Series {
  readonly tenant: string;
  readonly labels: Labels;
  /** Time in ms → one value, in an array of its own so that its bits stay. */
  readonly samples: Map<number, Float64Array>;
}

export interface MemoryEngineOptions {
  readonly identity?: Partial<StorageIdentity>;
  readonly nowMs?: number;
  /** Settles when what was appended before is durable. */
  readonly durable?: () => Promise<void>;
  /** Runs before each query with its context. */
  readonly beforeQuery?: (context: QueryContext) => Promise<void>;
}

const MAX_FUTURE_MS = 600_000;

export class MemoryEngine implements StorageEngine {
  readonly identity: StorageIdentity;
  readonly queryable: Queryable;
  readonly series = new Map<string, Series>();
  readonly metadata = new Map<string, MetadataEntry>();
  readonly nowMs: number;
  readonly durable: () => Promise<void>;
  openSessions = 0;
  /** Side data as it came. */
  readonly side: NamedSide[] = [];
  /** Batches in the order they came, with their lengths. */
  readonly batchBytes: number[] = [];

  constructor(options: MemoryEngineOptions = {}) {
    const hashSeed = Uint8Array.from({ length: 16 }, (_, i) => i);
    this.identity = { clusterId: "cluster-a", nodeId: "node-0", hashSeed, shardCount: 64, ...options.identity };
    this.nowMs = options.nowMs ?? Date.now();
    this.durable = options.durable ?? (() => new Promise((resolve) => setImmediate(resolve)));
    this.queryable = new MemoryQueryable(this, options.beforeQuery ?? (() => Promise.resolve()));
  }

  openSession(): IngestSession {
    this.openSessions++;
    return new MemorySession(this);
  }
}

class MemorySession implements IngestSession {
  readonly identity: StorageIdentity;
  readonly #engine: MemoryEngine;
  readonly #dictionary = new Map<number, Series>();
  #closed = false;

  constructor(engine: MemoryEngine) {
    this.#engine = engine;
    this.identity = engine.identity;
  }

  async append(bytes: Uint8Array): Promise<BatchAck> {
    if (this.#closed) throw new UnavailableError("cannot append: got a closed session");
    this.#engine.batchBytes.push(bytes.length);
    let batch: Batch;
    try {
      batch = readBatch(bytes);
    } catch (cause) {
      throw new InvalidError(`cannot append batch: got ${String(cause)}; want a batch`, { cause });
    }
    const ack = this.#apply(batch);
    await this.#engine.durable();
    return ack;
  }

  #apply({ seq, registrations, refs, timesMs, values }: Batch): BatchAck {
    const defined = new Map<number, Series>();
    const unknown = new Set<number>();
    for (const { ref, id, key } of registrations) {
      const name = Buffer.from(id).toString("hex");
      if (key.length > 0 && !this.#engine.series.has(name)) {
        this.#engine.series.set(name, { ...decodeSeriesKey(key), samples: new Map() });
      }
      const series = this.#engine.series.get(name);
      if (series === undefined) unknown.add(ref);
      else defined.set(ref, series);
    }
    const found = refs.map((ref) => defined.get(ref) ?? this.#dictionary.get(ref));
    refs.forEach((ref, i) => {
      if (found[i] === undefined) unknown.add(ref);
    });
    if (unknown.size > 0)
      return { seq, status: "unknown-refs", unknownRefs: Uint32Array.from(unknown), rejections: [] };
    for (const [ref, series] of defined) this.#dictionary.set(ref, series);
    let future = 0;
    const maxMs = this.#engine.nowMs + MAX_FUTURE_MS;
    found.forEach((series, i) => {
      if (timesMs[i]! > maxMs) future++;
      else put(series!, timesMs[i]!, values.slice(i, i + 1));
    });
    const text = `samples later than ${maxMs}`;
    const rejections: Rejection[] = future > 0 ? [{ reason: "future", count: future, text }] : [];
    return { seq, status: "stored", unknownRefs: new Uint32Array(0), rejections };
  }

  async appendMetadata(entries: readonly MetadataEntry[]): Promise<void> {
    if (this.#closed) throw new UnavailableError("cannot append: got a closed session");
    for (const entry of entries) this.#engine.metadata.set(`${entry.tenant}/${entry.family}`, entry);
    await this.#engine.durable();
  }

  /** Batches are kept as they come; a rejection is made of each histogram that is too new. */
  async appendSide(batch: Uint8Array): Promise<SideAck> {
    if (this.#closed) throw new UnavailableError("cannot append: got a closed session");
    const maxMs = this.#engine.nowMs + MAX_FUTURE_MS;
    let future = 0;
    for (const part of decodeSideBatch(batch.slice(), this.identity.shardCount)) {
      this.#engine.side.push(part);
      future += part.side.histograms.filter(({ timeMs }) => timeMs > maxMs).length;
    }
    await this.#engine.durable();
    if (future === 0) return { rejections: [] };
    return { rejections: [{ kind: "histogram", reason: "future", count: future, text: `later than ${maxMs}` }] };
  }

  async close(): Promise<void> {
    if (!this.#closed) this.#engine.openSessions--;
    this.#closed = true;
  }
}

/** Of two values at one time the greater number stays; any number beats a NaN. */
function put(series: Series, timeMs: number, value: Float64Array): void {
  const old = series.samples.get(timeMs)?.[0];
  if (old === undefined || Number.isNaN(old) || value[0]! > old) series.samples.set(timeMs, value);
}

class MemoryQueryable implements Queryable {
  readonly #engine: MemoryEngine;
  readonly #before: (context: QueryContext) => Promise<void>;

  constructor(engine: MemoryEngine, before: (context: QueryContext) => Promise<void>) {
    this.#engine = engine;
    this.#before = before;
  }

  async #select(sets: readonly (readonly Matcher[])[], c: QueryContext): Promise<Series[]> {
    if (c.signal.aborted) throw new CanceledError("canceled");
    if (Date.now() >= c.deadlineMs) throw new TimeoutError("timeout");
    await this.#before(c);
    const compiled = sets.map((set) => set.map(compileMatcher));
    return [...this.#engine.series.values()].filter(
      (s) => s.tenant === c.tenant && (sets.length === 0 || compiled.some((set) => matchLabels(set, s.labels))),
    );
  }

  async evaluate(leaf: Leaf, context: QueryContext): Promise<LeafResult> {
    const series = await this.#select([leaf.matchers], context);
    let samplesRead = 0;
    const columns: StepColumn[] = [];
    for (const s of series) {
      const all = [...s.samples].sort((a, b) => a[0] - b[0]);
      samplesRead += all.length;
      if (samplesRead > context.samplesMax) throw new LimitError("samples", "too many samples");
      const column = leaf.rollup === "samples" ? rawColumn(s, all, leaf) : rollupColumn(s, all, leaf);
      if (column !== undefined) columns.push(column);
    }
    const result = leaf.aggregation === undefined ? columns : aggregate(columns, leaf);
    return { columns: result, seriesCount: series.length, samplesRead, warnings: [] };
  }

  async *rawSamples({ matchers, range }: RawRequest, context: QueryContext): AsyncGenerator<RawColumn[], void, void> {
    const series = await this.#select([matchers], context);
    let samplesRead = 0;
    for (const { labels, samples } of series.sort((a, b) => compareLabels(a.labels, b.labels))) {
      if (context.signal.aborted) throw new CanceledError("canceled");
      const kept = [...samples].filter(([t]) => t >= range.minMs && t <= range.maxMs).sort((a, b) => a[0] - b[0]);
      samplesRead += kept.length;
      if (samplesRead > context.samplesMax) throw new LimitError("samples", "too many samples");
      if (kept.length > 0) yield [{ labels, ...valuesAndTimes(kept), present: null }];
    }
  }

  async labelNames(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    c: QueryContext,
  ): Promise<string[]> {
    const names = new Set<string>();
    for (const labels of await this.series(sets, range, 0, c))
      for (let i = 0; i < labels.length; i += 2) names.add(labels[i]!);
    return cut([...names].sort(compareUtf8), limit);
  }

  async labelValues(
    name: string,
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    c: QueryContext,
  ): Promise<string[]> {
    const values = new Set((await this.series(sets, range, 0, c)).map((labels) => labelValue(labels, name)));
    values.delete("");
    return cut([...values].sort(compareUtf8), limit);
  }

  async series(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    c: QueryContext,
  ): Promise<Labels[]> {
    const live = (await this.#select(sets, c)).filter((s) =>
      [...s.samples.keys()].some((t) => t >= range.minMs && t <= range.maxMs),
    );
    return cut(
      live.map((s) => s.labels),
      limit,
    );
  }

  async statistics(limit: number, c: QueryContext): Promise<Statistics> {
    const series = await this.#select([], c);
    return naiveStatistics(
      series.map(({ labels }) => labels),
      limit,
    );
  }

  async metadata(family: string, c: QueryContext): Promise<MetadataEntry[]> {
    await this.#before(c);
    return [...this.#engine.metadata.values()].filter(
      (e) => e.tenant === c.tenant && (family === "" || e.family === family),
    );
  }

  async exemplars(
    sets: readonly (readonly Matcher[])[],
    { minMs, maxMs }: TimeRange,
    c: QueryContext,
  ): Promise<SeriesExemplars[]> {
    await this.#before(c);
    const compiled = sets.map((set) => set.map(compileMatcher));
    const found = new Map<string, { labels: Labels; exemplars: Exemplar[] }>();
    for (const { name, side } of this.#engine.side) {
      const { tenant, labels } = decodeSeriesKey(name.key);
      if (tenant !== c.tenant || !compiled.some((set) => matchLabels(set, labels))) continue;
      const known = found.get(labelsKey(labels)) ?? { labels, exemplars: [] };
      known.exemplars.push(...side.exemplars.filter(({ timeMs }) => timeMs >= minMs && timeMs <= maxMs));
      if (known.exemplars.length > 0) found.set(labelsKey(labels), known);
    }
    const out = [...found.values()];
    for (const { exemplars } of out) exemplars.sort(compareExemplars);
    if (out.reduce((sum, { exemplars }) => sum + exemplars.length, 0) > c.samplesMax) {
      throw new LimitError("samples", "too many exemplars");
    }
    return out;
  }
}

function cut<T>(items: T[], limit: number): T[] {
  return limit > 0 ? items.slice(0, limit) : items;
}

type Sample = readonly [timeMs: number, value: Float64Array];

function nameless(labels: Labels, leaf: Leaf): Labels {
  return leaf.dropName ? withoutLabels(labels, new Set(["__name__"])) : labels;
}

function inWindow(samples: readonly Sample[], endMs: number, rangeMs: number): Sample[] {
  return samples.filter(([timeMs]) => timeMs > endMs - rangeMs && timeMs <= endMs);
}

function rawColumn(series: Series, all: readonly Sample[], leaf: Leaf): StepColumn | undefined {
  const window = inWindow(all, leaf.grid.startMs - leaf.offsetMs, leaf.rangeMs).filter(([, v]) => !isStale(v[0]!));
  if (window.length === 0) return undefined;
  return { labels: nameless(series.labels, leaf), present: null, ...valuesAndTimes(window) };
}

function valuesAndTimes(samples: readonly Sample[]): { values: Float64Array; times: Float64Array } {
  const values = new Float64Array(samples.length);
  samples.forEach(([, value], i) => {
    values.set(value, i);
  });
  return { values, times: Float64Array.from(samples, ([timeMs]) => timeMs) };
}

function rollupColumn(series: Series, all: readonly Sample[], leaf: Leaf): StepColumn | undefined {
  const { startMs, stepMs, count } = leaf.grid;
  const values = new Float64Array(count);
  const present = new Uint8Array(count);
  for (let step = 0; step < count; step++) {
    const window = inWindow(all, startMs + step * stepMs - leaf.offsetMs, leaf.rangeMs);
    const live = window.filter(([, v]) => !isStale(v[0]!));
    if (live.length === 0 || (leaf.rollup === "last" && isStale(window.at(-1)![1][0]!))) continue;
    present[step] = 1;
    if (leaf.rollup === "last") values.set(window.at(-1)![1], step);
    else if (leaf.rollup === "count_over_time") values[step] = live.length;
    else if (leaf.rollup === "sum_over_time") values[step] = live.reduce((sum, [, v]) => sum + v[0]!, 0);
    else throw new UnavailableError(`cannot evaluate ${leaf.rollup}`);
  }
  if (!present.includes(1)) return undefined;
  return { labels: nameless(series.labels, leaf), values, present: present.includes(0) ? present : null };
}

function aggregate(columns: readonly StepColumn[], leaf: Leaf): StepColumn[] {
  const { op, without, labels: names } = leaf.aggregation!;
  const groups = new Map<string, { labels: Labels; members: StepColumn[] }>();
  for (const column of columns) {
    const labels = without
      ? withoutLabels(column.labels, new Set([...names, "__name__"]))
      : onlyLabels(column.labels, new Set(names));
    const group = groups.get(labelsKey(labels)) ?? { labels: labelsFromPairs(pairs(labels)), members: [] };
    group.members.push(column);
    groups.set(labelsKey(labels), group);
  }
  return [...groups.values()].map(({ labels, members }) => {
    const values = new Float64Array(leaf.grid.count);
    const weights = new Float64Array(leaf.grid.count);
    for (let step = 0; step < leaf.grid.count; step++) {
      const at = members.filter((m) => m.present === null || m.present[step] === 1).map((m) => m.values[step]!);
      weights[step] = at.length;
      const sum = at.reduce((a, b) => a + b, 0);
      values[step] = { sum, avg: sum, count: at.length, group: 1, min: Math.min(...at), max: Math.max(...at) }[op];
    }
    const present = Uint8Array.from(weights, (w) => (w > 0 ? 1 : 0));
    const all = present.includes(0) ? present : null;
    return op === "avg" ? { labels, values, present: all, weights } : { labels, values, present: all };
  });
}

function* pairs(labels: Labels): Generator<readonly [string, string]> {
  for (let i = 0; i < labels.length; i += 2) yield [labels[i]!, labels[i + 1]!];
}
