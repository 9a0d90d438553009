// test/contract/queryable.ts: what every Queryable promises, in this process and over the network alike.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  CanceledError,
  type Labels,
  type Leaf,
  LimitError,
  labelsFromRecord,
  labelsKey,
  labelsToRecord,
  type Matcher,
  type RawColumn,
  type StepColumn,
  TimeoutError,
} from "../../libs/model/index.ts";
import { bits, bitsOf, contextOf, type OpenStorage, type StorageHarness, TENANT, writeSeries } from "./harness.ts";
import { register, writeBatch } from "./ingest-batch.ts";
import { sideBatch } from "./side-batch.ts";

const STEP_MS = 15_000;
const STEPS = 4;

const is = (name: string, value: string): Matcher => ({ type: "=", name, value });

/** A column as text: labels, then a value per step, "-" for none. */
function textOf(column: StepColumn): string {
  const labels = JSON.stringify(labelsToRecord(column.labels));
  const values = Array.from(column.values, (v, i) => (column.present === null || column.present[i] === 1 ? v : "-"));
  const weights = column.weights === undefined ? "" : ` of ${column.weights.join(" ")}`;
  return `${labels} ${values.join(" ")}${weights}`;
}

/** Raw samples as one line per series: step:bits of each sample. */
async function rawLines(
  stream: AsyncIterable<readonly RawColumn[]>,
  startMs: number,
  stepMs: number,
): Promise<string[]> {
  const lines = new Map<string, string>();
  for await (const batch of stream) {
    for (const { labels, times, values } of batch) {
      const key = JSON.stringify(labelsToRecord(labels));
      const points = [...times].map((time, i) => ` ${(time - startMs) / stepMs}:${bitsOf(values, i)}`).join("");
      lines.set(key, (lines.get(key) ?? key) + points);
    }
  }
  return [...lines.values()];
}

const textsOf = (columns: readonly StepColumn[]): string[] => columns.map(textOf).sort();

/** Runs the suite on storages that `open` makes. */
export function queryableContract(name: string, open: OpenStorage): void {
  describe(`queryable: ${name}`, () => {
    let storage: StorageHarness;
    /** The first of four steps; a is 1, 2, 3, 4 there, b lacks the second, c ends with a stale marker. */
    let start: number;

    beforeEach(async () => {
      storage = await open();
      start = storage.nowMs - 10 * STEP_MS;
      const at = (step: number): number => start + step * STEP_MS;
      await writeSeries(storage.target, [
        { labels: { __name__: "m", s: "a", job: "x" }, samples: [[at(0), 1], [at(1), 2], [at(2), 3], [at(3), 4]] },
        { labels: { __name__: "m", s: "b", job: "x" }, samples: [[at(0), 10], [at(2), 30], [at(3), 40]] },
        { labels: { __name__: "m", s: "c", job: "y" }, samples: [[at(0), 100], [at(1), 200]] },
        { labels: { __name__: "n", s: "é", "label with space": "𝒳", job: "y" }, samples: [[at(3), 7]] },
      ]); // biome-ignore format: one row per series
      await writeSeries(storage.target, [{ labels: { __name__: "m", s: "other" }, samples: [[at(0), 9]] }], "other");
    });
    afterEach(() => storage.close());

    const leaf = (overrides: Partial<Leaf> = {}): Leaf => ({
      matchers: [is("__name__", "m")],
      grid: { startMs: start, stepMs: STEP_MS, count: STEPS },
      rollup: "last",
      rangeMs: STEP_MS,
      offsetMs: 0,
      args: [],
      dropName: false,
      ...overrides,
    });
    const ask = (overrides: Partial<Leaf> = {}) => storage.queryable.evaluate(leaf(overrides), contextOf());
    const everything = { minMs: Number.NEGATIVE_INFINITY, maxMs: Number.POSITIVE_INFINITY };

    test("evaluates a leaf per series, absent steps absent", async () => {
      const result = await ask();
      expect(textsOf(result.columns)).toEqual([
        '{"__name__":"m","job":"x","s":"a"} 1 2 3 4',
        '{"__name__":"m","job":"x","s":"b"} 10 - 30 40',
        '{"__name__":"m","job":"y","s":"c"} 100 200 - -',
      ]);
      expect(result.seriesCount).toBe(3);
      expect(result.samplesRead).toBeGreaterThanOrEqual(9);
      expect(result.warnings).toEqual([]);
    });

    test.each<readonly [string, Partial<Leaf>, readonly string[]]>([
      [
        "windows are left-open",
        { rangeMs: 2 * STEP_MS, rollup: "sum_over_time", dropName: true, matchers: [is("s", "a")] },
        ['{"job":"x","s":"a"} 1 3 5 7'],
      ],
      [
        "an offset moves the window",
        { offsetMs: STEP_MS, matchers: [is("s", "a")] },
        ['{"__name__":"m","job":"x","s":"a"} - 1 2 3'],
      ],
      [
        "a negative offset too",
        { offsetMs: -STEP_MS, matchers: [is("s", "b")] },
        ['{"__name__":"m","job":"x","s":"b"} - 30 40 -'],
      ],
      [
        "counts",
        { rangeMs: 4 * STEP_MS, rollup: "count_over_time", dropName: true, matchers: [is("s", "b")] },
        ['{"job":"x","s":"b"} 1 1 2 3'],
      ],
      [
        "regex matchers",
        {
          matchers: [
            { type: "=~", name: "s", value: "[ab]" },
            { type: "!=", name: "s", value: "b" },
          ],
        },
        ['{"__name__":"m","job":"x","s":"a"} 1 2 3 4'],
      ],
      [
        "negative regex matchers",
        { matchers: [is("__name__", "m"), { type: "!~", name: "s", value: "a|b" }] },
        ['{"__name__":"m","job":"y","s":"c"} 100 200 - -'],
      ],
      [
        "sums by label",
        { aggregation: { op: "sum", without: false, labels: ["job"] }, dropName: true },
        ['{"job":"x"} 11 2 33 44', '{"job":"y"} 100 200 - -'],
      ],
      [
        "averages come with weights",
        {
          aggregation: { op: "avg", without: false, labels: ["job"] },
          matchers: [is("job", "x"), is("__name__", "m")],
        },
        ['{"job":"x"} 11 2 33 44 of 2 1 2 2'],
      ],
      [
        "maxima without labels",
        { aggregation: { op: "max", without: true, labels: ["s"] } },
        ['{"job":"x"} 10 2 30 40', '{"job":"y"} 100 200 - -'],
      ],
      ["counts of everything", { aggregation: { op: "count", without: false, labels: [] } }, ["{} 3 2 2 2"]],
      ["no series", { matchers: [is("__name__", "nothing")] }, []],
      ["an instant", { grid: { startMs: 0, stepMs: 0, count: 1 }, matchers: [is("s", "a")], offsetMs: 0 }, []],
    ])("%s", async (_, overrides, expected) => {
      expect(textsOf((await ask(overrides)).columns)).toEqual(expected);
    });

    test("a stale marker ends a series", async () => {
      const stale = new Float64Array(new Uint32Array([2, 0x7ff00000]).buffer);
      const session = await storage.target.connect();
      const labels = labelsFromRecord({ __name__: "m", s: "c", job: "y" });
      const registrations = [register(session.identity, 1, TENANT, labels)];
      await session.append(
        writeBatch({ seq: 1, registrations, refs: [1], timesMs: [start + 2 * STEP_MS], values: stale }),
      );
      const result = await ask({ matchers: [is("s", "c")], rangeMs: 10 * STEP_MS });
      expect(textsOf(result.columns)).toEqual(['{"__name__":"m","job":"y","s":"c"} 100 200 - -']);
    });

    test("raw samples come with their times", async () => {
      const result = await ask({
        matchers: [is("s", "b")],
        rollup: "samples",
        grid: { startMs: start + 3 * STEP_MS, stepMs: 0, count: 1 },
        rangeMs: 2 * STEP_MS,
      });
      expect(result.columns.map((c) => [[...c.times!].map((t) => (t - start) / STEP_MS), [...c.values], c.present])).toEqual([
        [[2, 3], [30, 40], null],
      ]); // biome-ignore format: a row
    });

    test("raw samples stream in the order of labels, stale markers and all", async () => {
      const stale = new Float64Array(new Uint32Array([2, 0x7ff00000]).buffer);
      const session = await storage.target.connect();
      const labels = labelsFromRecord({ __name__: "m", s: "c", job: "y" });
      const registrations = [register(session.identity, 1, TENANT, labels)];
      await session.append(
        writeBatch({ seq: 1, registrations, refs: [1], timesMs: [start + 2 * STEP_MS], values: stale }),
      );
      const read = (context = contextOf(), range = { minMs: start + STEP_MS, maxMs: start + 3 * STEP_MS }) =>
        rawLines(storage.queryable.rawSamples({ matchers: [is("__name__", "m")], range }, context), start, STEP_MS);
      expect(await read()).toEqual([
        `{"__name__":"m","job":"x","s":"a"} 1:${bits(2)} 2:${bits(3)} 3:${bits(4)}`,
        `{"__name__":"m","job":"x","s":"b"} 2:${bits(30)} 3:${bits(40)}`,
        `{"__name__":"m","job":"y","s":"c"} 1:${bits(200)} 2:7ff0000000000002`,
      ]);
      expect((await read(contextOf(), everything)).length).toBe(3);
      expect(await read(contextOf({ tenant: "other" }))).toEqual([]);
      await expect(read(contextOf({ samplesMax: 4 }))).rejects.toThrow(LimitError);
      await expect(read(contextOf({ signal: AbortSignal.abort() }))).rejects.toThrow(CanceledError);
      await expect(read(contextOf({ deadlineMs: Date.now() - 1 }))).rejects.toThrow(TimeoutError);
    });

    test("tenants don't see each other", async () => {
      const other = await storage.queryable.evaluate(leaf(), contextOf({ tenant: "other" }));
      expect(textsOf(other.columns)).toEqual(['{"__name__":"m","s":"other"} 9 - - -']);
      expect((await storage.queryable.evaluate(leaf(), contextOf({ tenant: "none" }))).columns).toEqual([]);
    });

    test("label names, values and series", async () => {
      const q = storage.queryable;
      const c = contextOf();
      const n = [[is("__name__", "n")]];
      const two = [[is("s", "a")], [is("s", "c")]];
      expect(await q.labelNames([], everything, 0, c)).toEqual(["__name__", "job", "label with space", "s"]);
      expect(await q.labelNames(two, everything, 0, c)).toEqual(["__name__", "job", "s"]);
      expect(await q.labelNames([], everything, 2, c)).toEqual(["__name__", "job"]);
      expect(await q.labelValues("s", [], everything, 0, c)).toEqual(["a", "b", "c", "é"]);
      expect(await q.labelValues("s", two, everything, 0, c)).toEqual(["a", "c"]);
      expect(await q.labelValues("s", [], everything, 3, c)).toEqual(["a", "b", "c"]);
      expect(await q.labelValues("label with space", n, everything, 0, c)).toEqual(["𝒳"]);
      expect(await q.labelValues("none", [], everything, 0, c)).toEqual([]);
      expect((await q.series(n, everything, 0, c)).map(labelsToRecord)).toEqual([
        { __name__: "n", job: "y", "label with space": "𝒳", s: "é" },
      ]);
      expect((await q.series(two, everything, 0, c)).map(labelsKey).length).toBe(2);
      expect((await q.series([], everything, 3, c)).length).toBe(3);
    });

    test("exemplars of series, by time, tenant and range; beyond the budget a limit", async () => {
      const session = await storage.target.connect();
      const exemplars = [0, 1, 2].map((i) => ({ timeMs: start + i, value: i / 2, labels: ["trace_id", `é${i}`] }));
      const series = (s: string): Labels => labelsFromRecord({ __name__: "m", s });
      const side = { histograms: [], exemplars, starts: [] };
      const mine = sideBatch(session.identity, TENANT, [
        [series("a"), side],
        [series("b"), { ...side, exemplars: exemplars.slice(0, 1) }],
      ]);
      expect(await session.appendSide(mine)).toEqual({ rejections: [] });
      expect(await session.appendSide(sideBatch(session.identity, "other", [[series("a"), side]]))).toEqual({
        rejections: [],
      });
      const q = storage.queryable;
      const range = { minMs: start + 1, maxMs: start + 2 };
      expect(await q.exemplars([[is("s", "a")], [is("s", "b")]], range, contextOf())).toEqual([
        { labels: series("a"), exemplars: exemplars.slice(1) },
      ]);
      expect((await q.exemplars([[is("__name__", "m")]], everything, contextOf())).length).toBe(2);
      expect(await q.exemplars([[is("s", "c")]], everything, contextOf())).toEqual([]);
      const few = contextOf({ samplesMax: 2 });
      await expect(q.exemplars([[is("__name__", "m")]], everything, few)).rejects.toThrow(LimitError);
      await session.close();
    });

    test("statistics are the tenant's own", async () => {
      const found = await storage.queryable.statistics(3, contextOf());
      expect(found.seriesCount).toBe(4);
      expect(found.labelPairs.value).toBe(9);
      expect(found.labelPairs.hashes.length).toBe(9);
      expect(found.seriesByMetric).toEqual([{ name: "m", value: 3 }, { name: "n", value: 1 }]);
      expect(found.valuesByLabel.map(({ name, value }) => [name, value])).toEqual([["s", 4], ["__name__", 2], ["job", 2]]);
      expect(found.bytesByLabel.map(({ name, value }) => [name, value])).toEqual([["__name__", 44], ["job", 24], ["label with space", 22]]);
      const pairs = [["__name__=m", 3], ["job=x", 2], ["job=y", 2]];
      expect(found.seriesByPair.map(({ name, value }) => [name, value])).toEqual(pairs);
      const other = await storage.queryable.statistics(3, contextOf({ tenant: "other" }));
      expect([other.seriesCount, other.labelPairs.value]).toEqual([1, 2]);
      const none = await storage.queryable.statistics(3, contextOf({ tenant: "none" }));
      expect([none.seriesCount, none.labelPairs.value, none.seriesByMetric]).toEqual([0, 0, []]);
    }); // biome-ignore format: counts side by side

    test("samples beyond the budget are a limit", async () => {
      await expect(storage.queryable.evaluate(leaf(), contextOf({ samplesMax: 2 }))).rejects.toThrow(LimitError);
    });

    test("a query that was canceled, or is past its deadline, fails so", async () => {
      const signal = AbortSignal.abort();
      await expect(storage.queryable.evaluate(leaf(), contextOf({ signal }))).rejects.toThrow(CanceledError);
      const late = contextOf({ deadlineMs: Date.now() - 1 });
      await expect(storage.queryable.evaluate(leaf(), late)).rejects.toThrow(TimeoutError);
    });

    test("an answer is the asker's to change", async () => {
      const one = await ask();
      for (const column of one.columns) column.values.fill(0);
      expect(textsOf((await ask({ matchers: [is("s", "a")] })).columns)).toEqual([
        '{"__name__":"m","job":"x","s":"a"} 1 2 3 4',
      ]);
    });
  });
}
