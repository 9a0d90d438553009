// test/promql/db-storage.ts: scripts on real storages: samples go through an ingest session as an insert would send them, and are asked
// for through the storage's Queryable. A storage serves many scripts: what begins anew is a tenant.
import { nodeClock, SeededRandom, SimFileSystem } from "../../libs/env/index.ts";
import {
  type IngestSession,
  type Labels,
  type Leaf,
  type Matcher,
  type Queryable,
  type QueryContext,
  type RawRequest,
  type TimeRange,
  writeStale,
} from "../../libs/model/index.ts";
import type { StartTime } from "../../libs/side/index.ts";
import { Db } from "../../libs/tsdb/index.ts";
import { register, writeBatch } from "../contract/ingest-batch.ts";
import { sideBatch } from "../contract/side-batch.ts";
import type { ScriptStorage } from "./execute.ts";
import type { StoredSeries } from "./script-samples.ts";

/** A storage on a disk in memory that takes samples of any time. */
export function openScriptDb(): Promise<Db> {
  return Db.open({
    dataDir: "/disk/data",
    fs: new SimFileSystem(),
    clock: nodeClock,
    random: new SeededRandom(3),
    processes: { pid: 7, host: "test", startOf: () => undefined },
    shardCount: 4,
    headMemoryBytes: 64 << 20,
    retentionMs: 1e13,
    maxFutureMs: 1e13,
    seriesMax: 100_000,
    walMode: "inline",
  });
}

/** A storage, or several as one, as one tenant sees it. */
export abstract class TenantStorage implements ScriptStorage {
  readonly nativeMatches = 0;
  protected readonly tenant: string;
  private readonly queryable: Queryable;

  constructor(queryable: Queryable, tenant: string) {
    this.queryable = queryable;
    this.tenant = tenant;
  }

  abstract store(series: StoredSeries): Promise<void>;

  private own(context: QueryContext): QueryContext {
    return { ...context, tenant: this.tenant };
  }

  evaluate(leaf: Leaf, context: QueryContext): ReturnType<Queryable["evaluate"]> {
    return this.queryable.evaluate(leaf, this.own(context));
  }

  labelNames(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    c: QueryContext,
  ): Promise<string[]> {
    return this.queryable.labelNames(sets, range, limit, this.own(c));
  }

  labelValues(
    name: string,
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    limit: number,
    c: QueryContext,
  ): Promise<string[]> {
    return this.queryable.labelValues(name, sets, range, limit, this.own(c));
  }

  series(sets: readonly (readonly Matcher[])[], range: TimeRange, limit: number, c: QueryContext): Promise<Labels[]> {
    return this.queryable.series(sets, range, limit, this.own(c));
  }

  exemplars(
    sets: readonly (readonly Matcher[])[],
    range: TimeRange,
    c: QueryContext,
  ): ReturnType<Queryable["exemplars"]> {
    return this.queryable.exemplars(sets, range, this.own(c));
  }

  rawSamples(request: RawRequest, c: QueryContext): ReturnType<Queryable["rawSamples"]> {
    return this.queryable.rawSamples(request, this.own(c));
  }

  statistics(limit: number, c: QueryContext): ReturnType<Queryable["statistics"]> {
    return this.queryable.statistics(limit, this.own(c));
  }

  metadata(family: string, c: QueryContext): ReturnType<Queryable["metadata"]> {
    return this.queryable.metadata(family, this.own(c));
  }
}

/** A storage that is written to by a session. */
export class DbStorage extends TenantStorage {
  private readonly session: IngestSession;

  constructor(queryable: Queryable, session: IngestSession, tenant: string) {
    super(queryable, tenant);
    this.session = session;
  }

  async store(series: StoredSeries): Promise<void> {
    await this.storeFloats(series);
    await this.storeAside(series);
  }

  private async storeFloats({ labels, samples }: StoredSeries): Promise<void> {
    const floats = samples.filter(({ histogram }) => histogram === undefined);
    for (let from = 0; from < floats.length; from += 1000) {
      const part = floats.slice(from, from + 1000);
      const values = Float64Array.from(part, ({ value }) => value);
      part.forEach(({ stale }, i) => {
        if (stale) writeStale(values, i);
      });
      const ack = await this.session.append(
        writeBatch({
          registrations: [register(this.session.identity, 1, this.tenant, labels)],
          refs: part.map(() => 1),
          timesMs: part.map(({ timeMs }) => timeMs),
          values,
        }),
      );
      if (ack.status !== "stored" || ack.rejections.length > 0) throw new Error(`cannot load: ${JSON.stringify(ack)}`);
    }
  }

  private async storeAside({ labels, samples }: StoredSeries): Promise<void> {
    const histograms = samples.flatMap(({ timeMs, histogram }) =>
      histogram === undefined ? [] : [{ timeMs, histogram }],
    );
    const starts: StartTime[] = samples.some(({ startMs }) => startMs !== 0)
      ? samples.map(({ timeMs, startMs }) => ({ timeMs, startMs }))
      : [];
    if (histograms.length + starts.length === 0) return;
    const side = { histograms, exemplars: [], starts };
    const { rejections } = await this.session.appendSide(
      sideBatch(this.session.identity, this.tenant, [[labels, side]]),
    );
    if (rejections.length > 0) throw new Error(`cannot load: ${JSON.stringify(rejections)}`);
  }
}
