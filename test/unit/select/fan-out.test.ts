// test/unit/select/fan-out.test.ts: several storages as one: joined answers, the first failure named, the rest stopped.
import { getEventListeners } from "node:events";
import { describe, expect, test } from "vitest";
import {
  type AppError,
  CanceledError,
  ExecutionError,
  type IngestTarget,
  InternalError,
  type Leaf,
  type LeafResult,
  LimitError,
  type Queryable,
  type QueryContext,
  type StepColumn,
  TimeoutError,
  UnavailableError,
} from "../../../libs/model/index.ts";
import { connectIngest, connectQuery, serveStorage } from "../../../libs/rpc/index.ts";
import { fanOut } from "../../../services/select/fan-out.ts";
import { contextOf, writeSeries } from "../../contract/harness.ts";
import { MemoryEngine } from "../../contract/memory-engine.ts";
import { queryableContract } from "../../contract/queryable.ts";

const NOW = 1_700_000_000_000;
const RANGE = { minMs: 0, maxMs: Number.POSITIVE_INFINITY };
const LEAF: Leaf = {
  matchers: [{ type: "=", name: "__name__", value: "m" }],
  grid: { startMs: NOW, stepMs: 1000, count: 2 },
  rollup: "last",
  rangeMs: 1000,
  offsetMs: 0,
  args: [],
  dropName: false,
};

type Row = readonly [labels: Record<string, string>, ...samples: (readonly [number, number])[]];

/** An engine with these series of metric m. */
async function engineOf(...series: Row[]): Promise<MemoryEngine> {
  const engine = new MemoryEngine({ nowMs: NOW });
  const target: IngestTarget = { address: "", connect: async () => engine.openSession() };
  await writeSeries(
    target,
    series.map(([labels, ...samples]) => ({ labels: { __name__: "m", ...labels }, samples })),
  );
  return engine;
}

const nodesOf = (...engines: { queryable: Queryable }[]) =>
  engines.map(({ queryable }, i) => ({ name: `host-${i}:1`, queryable }));

const textOf = (c: StepColumn): string =>
  `${c.labels.join(",")} ${[...c.values].map((v, i) => (c.present === null || c.present[i] === 1 ? v : "-")).join(" ")}`;

describe("answers of several storages", () => {
  const at = [NOW, NOW + 1000] as const;
  const two = async (): Promise<Queryable> =>
    fanOut(
      nodesOf(
        await engineOf([{ s: "a" }, [at[0], 1], [at[1], 2]], [{ s: "x" }, [at[0], 7]]),
        await engineOf([{ s: "b" }, [at[0], 10], [at[1], 20]], [{ s: "x" }, [at[0], 7], [at[1], 8]]),
      ),
    );

  test("series are joined, one that two have appears once", async () => {
    const result = await (await two()).evaluate(LEAF, contextOf());
    expect(result.columns.map(textOf).sort()).toEqual([
      "__name__,m,s,a 1 2",
      "__name__,m,s,b 10 20",
      "__name__,m,s,x 7 8",
    ]);
    expect([result.seriesCount, result.samplesRead]).toEqual([4, 7]);
  });

  test.each([
    ["sum", "25 30"],
    ["count", "4 3"],
    ["max", "10 20"],
    ["min", "1 2"],
    ["group", "1 1"],
  ] as const)("partials merge: %s", async (op, values) => {
    const leaf = { ...LEAF, aggregation: { op, without: false, labels: [] } };
    expect((await (await two()).evaluate(leaf, contextOf())).columns.map(textOf)).toEqual([` ${values}`]);
  });

  test("averages stay partial: sums and weights", async () => {
    const leaf = { ...LEAF, aggregation: { op: "avg" as const, without: false, labels: [] } };
    const [column] = (await (await two()).evaluate(leaf, contextOf())).columns;
    expect([[...column!.values], [...column!.weights!]]).toEqual([[25, 30], [4, 3]]); // biome-ignore format: a row
  });

  test("names, values and series are united, sorted and limited", async () => {
    const a = await engineOf([{ s: "z", é: "1" }, [NOW, 1]], [{ s: "m" }, [NOW, 1]]);
    const b = await engineOf([{ s: "m", 𝒳: "1" }, [NOW, 1]], [{ s: "m" }, [NOW, 1]]);
    const all = fanOut(nodesOf(a, b));
    expect(await all.labelNames([], RANGE, 0, contextOf())).toEqual(["__name__", "s", "é", "𝒳"]);
    expect(await all.labelNames([], RANGE, 3, contextOf())).toEqual(["__name__", "s", "é"]);
    expect(await all.labelValues("s", [], RANGE, 0, contextOf())).toEqual(["m", "z"]);
    expect(await all.labelValues("s", [], RANGE, 1, contextOf())).toEqual(["m"]);
    expect((await all.series([], RANGE, 0, contextOf())).length).toBe(3);
    expect((await all.series([], RANGE, 2, contextOf())).length).toBe(2);
    // Each has two, which is as many as may be; together they have three.
    await expect(all.series([], RANGE, 0, contextOf({ seriesMax: 2 }))).rejects.toThrow("--query-series-max");
    await expect(all.labelValues("s", [], RANGE, 0, contextOf({ bytesMax: 90 }))).rejects.toThrow("--query-bytes-max");
    await expect(all.series([], RANGE, 0, contextOf({ bytesMax: 90 }))).rejects.toThrow("--query-bytes-max");
  });

  test("statistics add up, and values that several have count once", async () => {
    const a = await engineOf([{ s: "a", job: "x" }, [at[0], 1]], [{ s: "b", job: "x" }, [at[0], 1]]);
    const b = await engineOf([{ s: "c", job: "x" }, [at[0], 1]]);
    const all = await fanOut(nodesOf(a, b)).statistics(2, contextOf());
    expect([all.seriesCount, all.labelPairs.value]).toEqual([3, 5]);
    expect(all.seriesByMetric).toEqual([{ name: "m", value: 3 }]);
    expect(all.valuesByLabel.map(({ name, value }) => [name, value])).toEqual([
      ["s", 3],
      ["__name__", 1],
    ]);
    expect(all.seriesByPair.map(({ name, value }) => [name, value])).toEqual([
      ["__name__=m", 3],
      ["job=x", 3],
    ]);
  });

  test("metadata is united", async () => {
    const [a, b] = [await engineOf(), await engineOf()];
    const entry = { tenant: "default", family: "m", type: "counter", help: "h", unit: "" } as const;
    await a.openSession().appendMetadata([entry]);
    await b.openSession().appendMetadata([entry, { ...entry, family: "n" }]);
    const families = (await fanOut(nodesOf(a, b)).metadata("", contextOf())).map((e) => e.family);
    expect(families.sort()).toEqual(["m", "n"]);
  });

  test("exemplars are joined by series, each once", async () => {
    const [a, b] = [await engineOf(), await engineOf()];
    const one = { labels: ["t", "1"], value: 1, timeMs: NOW };
    const two = { labels: ["t", "2"], value: 1, timeMs: NOW - 5 };
    a.queryable.exemplars = async () => [{ labels: ["s", "x"], exemplars: [one] }];
    b.queryable.exemplars = async () => [
      { labels: ["s", "x"], exemplars: [two, one] },
      { labels: ["s", "y"], exemplars: [two] },
    ];
    expect(await fanOut(nodesOf(a, b)).exemplars([], RANGE, contextOf())).toEqual([
      { labels: ["s", "x"], exemplars: [two, one] },
      { labels: ["s", "y"], exemplars: [two] },
    ]);
  });

  test("warnings are said once", async () => {
    const warn = (): Promise<LeafResult> =>
      Promise.resolve({ columns: [], seriesCount: 0, samplesRead: 0, warnings: ["w"] });
    const engines = [await engineOf(), await engineOf()];
    for (const { queryable } of engines) queryable.evaluate = warn;
    expect((await fanOut(nodesOf(...engines)).evaluate(LEAF, contextOf())).warnings).toEqual(["w"]);
  });

  test("no storage is no answer", async () => {
    await expect(fanOut([]).evaluate(LEAF, contextOf())).rejects.toThrow(UnavailableError);
    await expect(fanOut([]).labelNames([], RANGE, 0, contextOf())).rejects.toThrow(UnavailableError);
  });
});

describe("failures", () => {
  const failing = async (error: unknown): Promise<Queryable> => {
    const [good, bad] = [await engineOf(), await engineOf()];
    bad.queryable.evaluate = () => Promise.reject(error);
    return fanOut(nodesOf(good, bad));
  };

  test.each<readonly [string, unknown]>([
    ["unavailable", new UnavailableError("cannot reach it", 7)],
    ["a bug", new InternalError("x")],
    ["canceled by itself", new CanceledError("x")],
    ["foreign", new TypeError("x")],
  ])("%s: unavailable, with the storage's name", async (_, thrown) => {
    const error = (await (
      await failing(thrown)
    )
      .evaluate(LEAF, contextOf())
      .catch((e: unknown) => e)) as UnavailableError;
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error.message).toContain("host-1:1");
    expect(error.retryAfterSeconds).toBe(thrown instanceof UnavailableError ? 7 : 1);
  });

  test.each<readonly [AppError]>([
    [new ExecutionError("vector cannot contain metrics with the same labelset")],
    [new LimitError("--x", "query processing would load too many samples into memory in query execution")],
    [new TimeoutError("query timed out in expression evaluation")],
  ])("about the question itself: as it is: %s", async (thrown) => {
    expect(await (await failing(thrown)).evaluate(LEAF, contextOf()).catch((e: unknown) => e)).toBe(thrown);
  });

  test("the first failure stops the other storages", async () => {
    const [slow, bad] = [await engineOf(), await engineOf()];
    let stopped: unknown;
    slow.queryable.evaluate = (_: Leaf, { signal }: QueryContext) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          stopped = signal.reason;
          reject(signal.reason);
        });
      });
    bad.queryable.evaluate = () => Promise.reject(new UnavailableError("down"));
    await expect(fanOut(nodesOf(slow, bad)).evaluate(LEAF, contextOf())).rejects.toThrow("host-1:1");
    expect(stopped).toBeInstanceOf(UnavailableError);
  });

  test("a signal keeps nothing of the questions that are answered, and one that aborted ends the next", async () => {
    const nodes = fanOut(nodesOf(await engineOf(), await engineOf()));
    const aborter = new AbortController();
    const context = contextOf({ signal: aborter.signal });
    const warnings: Error[] = [];
    const listen = (warning: Error): unknown => warnings.push(warning);
    process.on("warning", listen);
    await Promise.all(Array.from({ length: 50 }, () => nodes.evaluate(LEAF, context)));
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", listen);
    expect(warnings).toEqual([]);
    expect(getEventListeners(aborter.signal, "abort")).toEqual([]);
    aborter.abort(new CanceledError("gone"));
    const heard = async (_: Leaf, { signal }: QueryContext): Promise<LeafResult> => {
      signal.throwIfAborted();
      return { columns: [], seriesCount: 0, samplesRead: 0, warnings: [] };
    };
    const engine = { queryable: { ...(await engineOf()).queryable, evaluate: heard } as Queryable };
    await expect(fanOut(nodesOf(engine, engine)).evaluate(LEAF, context)).rejects.toThrow("gone");
  });

  test("a canceled question is canceled, nobody's fault", async () => {
    const engine = await engineOf();
    engine.queryable.evaluate = (_: Leaf, { signal }: QueryContext) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const aborter = new AbortController();
    const asked = fanOut(nodesOf(engine, await engineOf())).evaluate(LEAF, contextOf({ signal: aborter.signal }));
    aborter.abort(new CanceledError("the browser was closed"));
    await expect(asked).rejects.toThrow(new CanceledError("the browser was closed"));
  });

  test("a storage that is down is named by its address", async () => {
    const query = connectQuery("127.0.0.1:1");
    const all = fanOut([{ name: query.address, queryable: query }, ...nodesOf(await engineOf())]);
    await expect(all.evaluate(LEAF, contextOf())).rejects.toThrow(/storage 127\.0\.0\.1:1: cannot reach/);
    query.close();
  });
});

// Everything lives on the second of three storages behind gRPC; the contract must not notice.
queryableContract("fan-out over gRPC", async () => {
  const engines = [1, 2, 3].map(() => new MemoryEngine());
  const servers = await Promise.all(engines.map((engine) => serveStorage({ engine, listen: "127.0.0.1:0" })));
  const clients = servers.map((s) => connectQuery(s.address));
  return {
    target: connectIngest(servers[1]!.address),
    queryable: fanOut(clients.map((queryable) => ({ name: queryable.address, queryable }))),
    nowMs: engines[1]!.nowMs,
    close: async () => {
      for (const client of clients) client.close();
      await Promise.all(servers.map((s) => s.close()));
    },
  };
});
