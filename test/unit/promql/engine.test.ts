// test/unit/promql/engine.test.ts: the same answers with and without push-down, from one storage and from several; the
// stock mode of name removal; limits, deadlines and long queries.
import { describe, expect, test } from "vitest";
import {
  CanceledError,
  ExecutionError,
  histogramAt,
  histogramsOf,
  InvalidError,
  type Labels,
  LimitError,
  labelsFromRecord,
  labelsKey,
  type Queryable,
  type QueryContext,
  TimeoutError,
  UnavailableError,
} from "../../../libs/model/index.ts";
import { Engine, type EngineOptions, parseSeriesDescription, type QueryResult } from "../../../libs/promql/index.ts";
import { MemoryQueryable } from "../../promql/memory-queryable.ts";
import { SampleQueryable } from "../../promql/sample-queryable.ts";
import { samplesOfLoad } from "../../promql/script-samples.ts";
import { ShardedQueryable } from "./sharded-queryable.ts";

const MINUTE = 60_000;

function context(overrides: Partial<QueryContext> = {}): QueryContext {
  const signal = new AbortController().signal;
  return { tenant: "default", signal, deadlineMs: 1000, samplesMax: 10_000_000, ...overrides };
}

/** A storage with the series of test-language lines, one sample per step. */
function storageOf(stepMs: number, lines: readonly string[]): MemoryQueryable {
  const storage = new MemoryQueryable();
  for (const line of lines) fill(storage, stepMs, line);
  return storage;
}

function fill(storage: MemoryQueryable, stepMs: number, line: string): void {
  const { labels, values } = parseSeriesDescription(line);
  values.forEach((value, i) => {
    if (value.kind === "omitted") return;
    const number = value.kind === "float" ? value.value : Number.NaN;
    storage.append(labels, [{ timeMs: i * stepMs, value: number, stale: value.kind === "stale", histogram: false }]);
  });
}

/** Labels → points, or the scalar; comparable without regard to order. */
function shape(result: QueryResult): unknown {
  const { value } = result;
  if (value.type === "scalar" || value.type === "string") return value.value;
  const out: Record<string, (number | null)[]> = {};
  for (const { labels, values, present } of value.columns) {
    out[JSON.stringify(labels)] = Array.from(values, (v, s) => (present === null || present[s] === 1 ? v : null));
  }
  return out;
}

const LINES: string[] = [];
for (let host = 0; host < 5; host++) {
  for (let cpu = 0; cpu < 3; cpu++) {
    LINES.push(`busy_total{host="h${host}",cpu="${cpu}"} ${host + cpu}+${host * 7 + cpu + 1}x30 0+${cpu + 1}x10`);
    LINES.push(`heat{host="h${host}",cpu="${cpu}"} ${20 + host}.5 _x${cpu} ${21 + cpu}-0.25x35 NaN stale`);
  }
  LINES.push(`mem{host="h${host}",kind="free"} ${host}e9x40`);
  LINES.push(`dur_bucket{host="h${host}",le="1"} 0+1x40`, `dur_bucket{host="h${host}",le="2"} 0+3x40`);
  LINES.push(`dur_bucket{host="h${host}",le="+Inf"} 0+4x40`);
}

const QUERIES = [
  ...["sum", "count", "min", "max", "avg", "group", "stddev"].flatMap((op) => [
    `${op}(heat)`,
    `${op} by (host) (heat)`,
    `${op} without (cpu) (rate(busy_total[5m]))`,
    `${op} by (__name__) ({host="h1"})`,
  ]),
  "sum by (host) (last_over_time(heat[3m]))",
  "sum(rate({__name__=~'busy.*'}[5m]))",
  "avg(heat) + on() group_right heat",
  "topk(3, heat)",
  "quantile(0.9, heat)",
  "count_values('v', mem)",
  "histogram_quantile(0.5, sum by (le) (rate(dur_bucket[5m])))",
  "histogram_quantile(0.5, rate(dur_bucket[5m]))",
  "sum by (host) (busy_total) / on(host) group_left count by (host) (busy_total)",
  "max by (host) (max_over_time(rate(busy_total[2m])[10m:1m]))",
  "absent(heat{host='h9'})",
  "absent_over_time(heat{host='h1'}[1m])",
  "sum(heat @ 600) - sum(heat)",
  "sum(heat offset 5m) > bool 300",
  "(sum((heat))) or avg(mem)",
  "label_replace(sum by (host) (mem), 'n', '$1', 'host', 'h(.)')",
  "sum by (host) (quantile_over_time(0.5, heat[5m]))",
  "predict_linear(heat[5m], 60)",
  "stdvar(mem) + scalar(max(mem))",
];

describe("answers do not depend on where a query is evaluated", () => {
  const whole = storageOf(MINUTE, LINES);
  const parts = [0, 1, 2, 3].map(() => new MemoryQueryable());
  for (const [i, line] of LINES.entries()) fill(parts[(i * 7) % 4]!, MINUTE, line);
  const sharded = new ShardedQueryable(parts);
  const replicated = new ShardedQueryable([whole, parts[1]!]);
  for (const delayedNameRemoval of [false, true]) {
    const plain = new Engine({ now: () => 0, delayedNameRemoval, pushDown: false });
    const pushed = new Engine({ now: () => 0, delayedNameRemoval });
    for (const query of QUERIES) {
      test(`${query}${delayedNameRemoval ? " with delayed names" : ""}`, async () => {
        const ask = (engine: Engine, storage: Queryable) =>
          engine.range(storage, query, 0, 40 * MINUTE, 90_000, context());
        const want = shape(await ask(plain, whole));
        expectClose(shape(await ask(pushed, whole)), want);
        expectClose(shape(await ask(pushed, sharded)), want);
        expectClose(shape(await ask(plain, sharded)), want);
        expectClose(shape(await ask(plain, replicated)), want);
      });
    }
  }

  test("aggregations travel with their leaf only when no error can hide", async () => {
    const leavesOf = async (query: string) => {
      const spy = new ShardedQueryable([whole]);
      await new Engine({ now: () => 0 }).instant(spy, query, 0, context());
      return spy.leaves.map((leaf) => leaf.aggregation?.op ?? leaf.rollup);
    };
    expect(await leavesOf("sum by (host) (rate(busy_total[5m]))")).toEqual(["sum"]);
    expect(await leavesOf("max((heat))")).toEqual(["max"]);
    expect(await leavesOf("avg({host='h1'})")).toEqual(["avg"]);
    expect(await leavesOf("sum(rate({host='h1', __name__=~'busy.*'}[5m]))")).toEqual(["rate"]);
    expect(await leavesOf("topk(2, heat)")).toEqual(["last"]);
    expect(await leavesOf("sum(abs(heat))")).toEqual(["last"]);
    // Equal leaves are asked for once.
    expect(await leavesOf("heat / (heat + heat)")).toEqual(["last"]);
  });

  test("an average whose partial sums overflow is asked for again", async () => {
    const huge = storageOf(MINUTE, ['huge{n="a"} 1.7e308', 'huge{n="b"} 1.7e308']);
    const spy = new ShardedQueryable([huge]);
    const result = await new Engine({ now: () => 0 }).instant(spy, "avg(huge)", 0, context());
    expect(shape(result)).toEqual({ "[]": [1.7e308] });
    expect(spy.leaves.length).toBe(2);
  });
});

function expectClose(got: unknown, want: unknown): void {
  const a = got as Record<string, (number | null)[]>;
  const b = want as Record<string, (number | null)[]>;
  expect(Object.keys(a).sort()).toEqual(Object.keys(b).sort());
  for (const key of Object.keys(b)) {
    b[key]!.forEach((value, s) => {
      const actual = a[key]![s]!;
      if (value === null || Number.isNaN(value)) expect(actual).toEqual(value);
      else expect(Math.abs(actual - value)).toBeLessThanOrEqual(1e-12 * Math.abs(value));
    });
  }
}

describe("names in the stock mode", () => {
  const storage = storageOf(MINUTE, ['in_total{if="0"} 0+60x5', 'out_total{if="0"} 0+120x5', 'm{__type__="gauge"} 1']);
  const engine = new Engine({ now: () => 0 });
  const keys = async (query: string) => {
    const result = await engine.instant(storage, query, 2 * MINUTE, context());
    return result.value.type === "vector" ? result.value.columns.map((c) => labelsKey(c.labels)) : [];
  };
  const key = (record: Record<string, string>) => labelsKey(labelsFromRecord(record));

  test.each([
    ["rate(in_total[2m])", [key({ if: "0" })]],
    ["last_over_time(in_total[2m])", [key({ __name__: "in_total", if: "0" })]],
    ["abs(in_total)", [key({ if: "0" })]],
    ["-in_total", [key({ if: "0" })]],
    ["in_total > 1", [key({ __name__: "in_total", if: "0" })]],
    ["in_total > bool 1", [key({ if: "0" })]],
    ["in_total * 2", [key({ if: "0" })]],
    ["m", [key({ __name__: "m", __type__: "gauge" })]],
    ["m * 2", [""]],
    ["sum by (__name__) (rate(in_total[2m]))", [""]],
    ["sum by (__name__) (in_total)", [key({ __name__: "in_total" })]],
    ["label_replace(rate(in_total[2m]), 'd', '$1', '__name__', '(.*)_total')", [key({ if: "0" })]],
  ] as [string, string[]][])("%s", async (query, want) => {
    expect(await keys(query)).toEqual(want);
  });

  test.each([
    "rate({__name__=~'.+_total'}[2m])",
    "sum(rate({__name__=~'.+_total'}[2m]))",
    "abs({__name__=~'.+_total'})",
    "-{__name__=~'.+_total'}",
  ])("%s fails, because series become equal", async (query) => {
    const failure = new ExecutionError("vector cannot contain metrics with the same labelset");
    await expect(engine.instant(storage, query, 2 * MINUTE, context())).rejects.toThrow(failure);
    await expect(engine.range(storage, query, 0, 2 * MINUTE, MINUTE, context())).rejects.toThrow(failure);
  });
});

describe("equal series in the stock mode", () => {
  const storage = storageOf(MINUTE, [
    'h{__type__="counter",i="1"} 0+20x5',
    'h{__type__="gauge",i="1"} 0+20x5',
    'b_bucket{le="1"} 1+1x5',
    'b_bucket{le="+Inf"} 1+2x5',
  ]);
  const engine = new Engine({ now: () => 0 });
  const both = (query: string) =>
    Promise.all([
      engine.instant(storage, query, MINUTE, context()).then(shape),
      engine.range(storage, query, MINUTE, MINUTE, MINUTE, context()).then(shape),
    ]);

  test.each([
    "h * fill_right(1) nope",
    "nope * fill_left(1) h",
    "h * h",
    "h * on (__type__) h",
    'histogram_quantiles(rate(b_bucket[2m]), "q", 0.1, 0.1)',
    'sum(histogram_quantiles(b_bucket, "q", 0, -0))',
  ])("%s fails", async (query) => {
    const failure = new ExecutionError("vector cannot contain metrics with the same labelset");
    await expect(engine.instant(storage, query, MINUTE, context())).rejects.toThrow(failure);
    await expect(engine.range(storage, query, 0, MINUTE, MINUTE, context())).rejects.toThrow(failure);
  });

  test("quantiles may take the place of the name", async () => {
    const answers = await both('histogram_quantiles(b_bucket, "__name__", 0.25, 0.5)');
    const want = { '["__name__","0.25"]': [0.375], '["__name__","0.5"]': [0.75] };
    expect(answers).toEqual([want, want]);
  });

  test("type and unit keep series apart where the name stays", async () => {
    expect(Object.keys((await both("h > fill_right(1) nope"))[0] as object)).toHaveLength(2);
  });
});

describe("shape of results", () => {
  const engine = new Engine({ now: () => 0 });
  const storage = storageOf(MINUTE, ['b{x="2"} 1 2 3', 'b{x="1"} 4 _ 6', "a 9"]);

  test("instant vectors are ordered by labels unless the query orders them", async () => {
    const order = async (query: string) => {
      const { value } = await engine.instant(storage, query, 0, context());
      return value.type === "vector" ? value.columns.map((c) => c.values[0]) : undefined;
    };
    expect(await order("{__name__=~'a|b'}")).toEqual([9, 4, 1]);
    expect(await order("sort({__name__=~'a|b'})")).toEqual([1, 4, 9]);
    expect(await order("sort_desc({__name__=~'a|b'}) > 0")).toEqual([9, 4, 1]);
    expect(await order("bottomk(2, {__name__=~'a|b'})")).toEqual([1, 4]);
    // b{x="2"} came first, and b{x="1"} stands first.
    expect(await order("last_over_time(bottomk(2, b)[5m:1m])")).toEqual([4, 1]);
  });

  test("matrices lie on the grid, range vectors carry their times", async () => {
    const range = await engine.range(storage, "b", 0, 2 * MINUTE, MINUTE, context());
    expect(range.value).toMatchObject({ type: "matrix", grid: { startMs: 0, stepMs: MINUTE, count: 3 } });
    const raw = await engine.instant(storage, "b{x='1'}[5m]", 2 * MINUTE, context());
    if (raw.value.type !== "matrix") throw new Error("want a matrix");
    expect([...raw.value.columns[0]!.times!]).toEqual([0, 2 * MINUTE]);
    const sub = await engine.instant(storage, "b{x='1'}[2m:30s]", 2 * MINUTE, context());
    if (sub.value.type !== "matrix") throw new Error("want a matrix");
    expect([...sub.value.columns[0]!.times!]).toEqual([30_000, 60_000, 90_000, 120_000]);
    expect([...sub.value.columns[0]!.values]).toEqual([4, 4, 4, 6]);
  });

  test("a scalar over a range is a series without labels", async () => {
    const { value } = await engine.range(storage, "time()", 0, MINUTE, MINUTE, context());
    expect(value.type === "matrix" && [...value.columns[0]!.values]).toEqual([0, 60]);
  });

  test("lookback can be chosen per query", async () => {
    const at = 4 * MINUTE;
    expect(shape(await engine.instant(storage, "count(b)", at, context()))).toEqual({ "[]": [2] });
    expect(shape(await engine.instant(storage, "count(b)", at, context(), { lookbackMs: MINUTE }))).toEqual({});
  });

  test("statistics count what leaves read", async () => {
    const { stats } = await engine.instant(storage, "b + b", 0, context());
    expect(stats).toMatchObject({ seriesCount: 2, samplesRead: 5 });
    expect(stats.peakPoints).toBeGreaterThan(0);
  });
});

describe("limits and ends", () => {
  const engine = new Engine({ now: () => 500 });
  const storage = storageOf(MINUTE, ["a 1x100", "b 1x100"]);

  test("queries that are no instant vector cannot be ranges", async () => {
    await expect(engine.range(storage, "a[5m]", 0, 1, 1, context())).rejects.toThrow(
      new InvalidError('invalid expression type "range vector" for range query, must be Scalar or instant Vector'),
    );
    await expect(engine.range(storage, '"x"', 0, 1, 1, context())).rejects.toThrow(InvalidError);
    await expect(engine.range(storage, "a", 0, 1, 0, context())).rejects.toThrow(InvalidError);
    await expect(engine.range(storage, "a", 1, 0, 1, context())).rejects.toThrow(InvalidError);
  });

  test("samples read are limited over all leaves", async () => {
    const limited = () => context({ samplesMax: 150 });
    await expect(engine.instant(storage, "a", 0, limited())).resolves.toBeDefined();
    await expect(engine.instant(storage, "a + b", 0, limited())).rejects.toThrow(LimitError);
  });

  test("points are limited before they are computed", async () => {
    const ask = (query: string) => engine.instant(storage, query, 0, context({ samplesMax: 1e6 }));
    await expect(ask("count_over_time(vector(1)[1y:1ms])")).rejects.toThrow(LimitError);
    await expect(ask("max_over_time(a[100d:1s])")).rejects.toThrow(LimitError);
    await expect(engine.range(storage, "1", 0, 1e9, 1, context({ samplesMax: 1e6 }))).rejects.toThrow(LimitError);
  });

  test("a deadline that has passed, and a client that has gone", async () => {
    await expect(engine.instant(storage, "a", 0, context({ deadlineMs: 400 }))).rejects.toThrow(TimeoutError);
    const signal = AbortSignal.abort();
    await expect(engine.instant(storage, "a", 0, context({ signal }))).rejects.toThrow(CanceledError);
  });

  test("a leaf that fails cancels the others", async () => {
    let canceled = false;
    const failing: Queryable = Object.assign(Object.create(storage) as Queryable, {
      evaluate: (leaf: { matchers: readonly { value: string }[] }, c: QueryContext) => {
        if (leaf.matchers[0]!.value === "b") return Promise.reject(new UnavailableError("broken"));
        return new Promise((_, reject) => {
          c.signal.addEventListener("abort", () => {
            canceled = true;
            reject(new CanceledError("canceled"));
          });
        });
      },
    });
    await expect(engine.instant(failing, "a + b", 0, context())).rejects.toThrow("broken");
    expect(canceled).toBe(true);
  });

  test("50,000 terms are added without recursion, in time linear in their number", async () => {
    const cpuOf = async (terms: number): Promise<number> => {
      const before = process.cpuUsage();
      const numbers = await engine.instant(storage, Array(terms).fill("1").join("+"), 0, context());
      expect(shape(numbers)).toBe(terms);
      const series = await engine.range(storage, Array(terms).fill("a").join("+"), 0, 60_000, 60_000, context());
      expect(shape(series)).toEqual({ "[]": [terms, terms] });
      const mixed = await engine.instant(storage, `a${"*-1".repeat(terms / 2 - 1)}`, 0, context());
      expect(shape(mixed)).toEqual({ "[]": [-1] });
      const { user, system } = process.cpuUsage(before);
      return user + system;
    };
    await cpuOf(5_000);
    // CPU time, so that other work on the machine counts little; a quadratic step would make it a hundred times.
    expect(await cpuOf(50_000)).toBeLessThan(40 * (await cpuOf(5_000)));
  });

  test("nesting as deep as the parser allows is evaluated", async () => {
    const deep = `${"abs(".repeat(250)}a${")".repeat(250)}`;
    expect(shape(await engine.instant(storage, deep, 0, context()))).toEqual({ "[]": [1] });
  });

  test("duration expressions are checked when start, end and step are known", async () => {
    await expect(engine.instant(storage, "rate(a[step()])", 0, context())).rejects.toThrow(
      "7:13: duration must be greater than 0",
    );
  });
});

describe("annotations", () => {
  const engine = new Engine({ now: () => 0 });
  const storage = storageOf(MINUTE, ['temp{a="1"} 1 2 3', 'ok_total{a="1"} 1 2 3']);
  const notes = async (query: string) => {
    const { warnings, infos } = await engine.instant(storage, query, 2 * MINUTE, context());
    return [...warnings, ...infos];
  };

  test("carry the place of what they are about", async () => {
    expect(await notes("sum(rate(temp[5m]))\n + sum(rate(temp[5m] offset 1m))")).toEqual([
      'PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "temp" (2:13)',
    ]);
    expect(await notes("sum(rate(ok_total[5m]))")).toEqual([]);
    expect(await notes("quantile(2, temp) + quantile(-0.5, temp)")).toEqual([
      "PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)",
      "PromQL warning: quantile value should be between 0 and 1, got -0.5 (1:30)",
    ]);
  });

  test("a storage's warnings come through as they are", async () => {
    const warning: Queryable = Object.assign(Object.create(storage) as Queryable, {
      evaluate: async () => ({ columns: [], seriesCount: 0, samplesRead: 0, warnings: ["shard 3 is missing"] }),
    });
    const result = await engine.instant(warning, "temp", 0, context());
    expect(result.warnings).toEqual(["shard 3 is missing"]);
  });
});

test("labels of a result are those of the series", async () => {
  const storage = storageOf(MINUTE, ['m{a="1"} 5']);
  const { value } = await new Engine({ now: () => 0 }).instant(storage, "m", 0, context());
  const labels: Labels = ["__name__", "m", "a", "1"];
  expect(value).toEqual({
    type: "vector",
    timeMs: 0,
    columns: [expect.objectContaining({ labels, values: Float64Array.of(5) })],
  });
});

describe("native histograms", () => {
  const stored = (lines: readonly string[], options: Partial<EngineOptions> = {}) => {
    const storage = new SampleQueryable();
    const series = lines
      .map(parseSeriesDescription)
      .map(({ labels, values }) => ({ labels, values, starts: undefined }));
    for (const one of samplesOfLoad({ kind: "load", stepMs: MINUTE, withNhcb: false, series })) storage.store(one);
    return { storage, engine: new Engine({ now: () => 0, ...options }) };
  };
  const lines = [
    'h{__type__="histogram",a="1"} {{schema:0 count:2 sum:3 buckets:[1 1]}}x9',
    'h{__type__="histogram",a="2"} {{schema:0 count:4 sum:3 buckets:[3 1]}}x9',
    'f{a="1"} 1x9',
  ];

  test("lose their names at once in stock mode; counts keep the type", async () => {
    const { storage, engine } = stored(lines);
    const ask = async (query: string) => shape(await engine.instant(storage, query, 0, context()));
    expect(await ask("histogram_count(h)")).toEqual({
      '["__type__","histogram","a","1"]': [2],
      '["__type__","histogram","a","2"]': [4],
    });
    const doubled = await engine.instant(storage, "h * 2", 0, context());
    const { value } = doubled;
    if (value.type !== "vector") throw new Error("want a vector");
    expect(value.columns.map((column) => column.labels)).toEqual([
      ["a", "1"],
      ["a", "2"],
    ]);
    expect(histogramAt(value.columns[1]!.histograms!, 0)).toMatchObject({ count: 8, sum: 6 });
  });

  test("are the same with and without push-down, and merge over shards", async () => {
    for (const query of ["sum(h)", "avg(rate(h[5m]))", "count(h)", 'max({__name__=~"f|h"})', "sum by (a) (h)"]) {
      const answers = await Promise.all(
        [true, false].map(async (pushDown) => {
          const { storage, engine } = stored(lines, { pushDown });
          return engine.range(storage, query, 0, 5 * MINUTE, MINUTE, context());
        }),
      );
      expect(answers[0]!.value).toEqual(answers[1]!.value);
      expect(answers[0]!.infos).toEqual(answers[1]!.infos);
    }
  });

  test("tell what does not go together in the order of labels, wherever they are", async () => {
    const discord = [
      'd{i="0"} {{schema:0 count:2 sum:1 buckets:[1 1]}}x5',
      'd{i="1"} 1x5',
      'd{i="2"} {{schema:-53 count:2 sum:1 custom_values:[1 5] buckets:[1 1]}}x5',
    ];
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
    ]) {
      for (const pushDown of [true, false]) {
        const engine = new Engine({ now: () => 0, pushDown });
        const sharded = new ShardedQueryable(order.map((i) => stored([discord[i]!]).storage));
        const { warnings } = await engine.range(sharded, "sum(rate(d[2m]))", MINUTE, 2 * MINUTE, MINUTE, context());
        expect([...warnings].sort()).toEqual([
          "PromQL warning: encountered a mix of histograms and floats for aggregation (1:5)",
          'PromQL warning: vector contains a mix of histograms with exponential and custom buckets schemas for metric name "" (1:5)',
        ]);
      }
    }
  });

  test("weigh more than floats", async () => {
    const { storage, engine } = stored(lines);
    const ask = (query: string) => engine.range(storage, query, 0, 9 * MINUTE, MINUTE, context({ samplesMax: 60 }));
    await expect(ask("h and h")).rejects.toThrow(LimitError);
    await expect(ask("f and f")).resolves.toMatchObject({ warnings: [] });
  });

  test("raw ones come with their times", async () => {
    const { storage, engine } = stored(lines);
    const { value } = await engine.instant(storage, 'h{a="1"}[2m]', 3 * MINUTE, context());
    if (value.type !== "matrix") throw new Error("want a matrix");
    const [column] = value.columns;
    expect([...column!.times!]).toEqual([2 * MINUTE, 3 * MINUTE]);
    expect(histogramsOf(column!.histograms!).map((h) => h?.count)).toEqual([2, 2]);
  });
});
