// test/unit/promql/as-prometheus.test.ts: answers that one would not guess, as Prometheus 3.14 gives them, where scripts cannot
// say it: names dropped at once, which of two errors comes first. From 1, 2 and 64 storages, aggregations there and here.
import { describe, expect, test } from "vitest";
import { AppError, type QueryContext } from "../../../libs/model/index.ts";
import { Engine, type QueryResult } from "../../../libs/promql/index.ts";
import { renderResult } from "../../../services/select/json.ts";
import { parseScript } from "../../promql/script.ts";
import { samplesOfLoad } from "../../promql/script-samples.ts";
import { WiredQueryable } from "../../promql/wired-queryable.ts";

const context: QueryContext = {
  ...{ tenant: "t", deadlineMs: Number.MAX_SAFE_INTEGER, samplesMax: 1e6 },
  signal: new AbortController().signal,
};

/** When a query is asked, in seconds: an instant, or [start, end, step]. */
type When = number | readonly [number, number, number];

/** Names are dropped at once, or at the end of the query. */
type Mode = "at once" | "at the end";

interface JsonSeries {
  readonly metric: Readonly<Record<string, string>>;
  readonly value?: readonly [number, string];
  readonly values?: readonly (readonly [number, string])[];
  readonly histogram?: readonly [number, { readonly count: string }];
  readonly histograms?: readonly (readonly [number, { readonly count: string }])[];
}

/** One line per series (of a histogram its count), or the error; then warnings and infos. */
function linesOf({ value, warnings, infos }: QueryResult): string[] {
  const json = Buffer.concat([...renderResult(value, "", { warnings: [], infos: [] })]).toString();
  const { result } = (JSON.parse(json) as { data: { result: JsonSeries[] } }).data;
  const lines = result.map(({ metric, value, values, histogram, histograms }) => {
    const parts = Object.entries(metric).map(([name, text]) => `${name}=${text}`);
    if (value !== undefined) parts.push(value[1]);
    if (histogram !== undefined) parts.push(`histogram of ${histogram[1].count}`);
    for (const [time, number] of values ?? []) parts.push(`${time}: ${number}`);
    for (const [time, { count }] of histograms ?? []) parts.push(`${time}: histogram of ${count}`);
    return parts.join(" ");
  });
  return [...lines, ...warnings, ...infos];
}

/** The answer that all numbers of storages give, with and without push-down. */
async function ask(load: string, query: string, when: When, mode: Mode): Promise<string[]> {
  const answers: string[][] = [];
  for (const shards of [1, 2, 64]) {
    const storage = new WiredQueryable(shards);
    for (const command of parseScript(load)) {
      if (command.kind === "load") for (const series of samplesOfLoad(command)) storage.store(series);
    }
    for (const pushDown of [true, false]) {
      const engine = new Engine({ now: () => 0, delayedNameRemoval: mode === "at the end", pushDown });
      const times = typeof when === "number" ? undefined : when.map((seconds) => seconds * 1000);
      const asked =
        times === undefined
          ? engine.instant(storage, query, (when as number) * 1000, context)
          : engine.range(storage, query, times[0]!, times[1]!, times[2]!, context);
      answers.push(
        await asked.then(linesOf, (error: unknown) => {
          if (!(error instanceof AppError)) throw error;
          return [error.message];
        }),
      );
    }
  }
  for (const answer of answers) expect(answer).toEqual(answers[0]);
  return answers[0]!;
}

interface Case {
  readonly query: string;
  readonly when: When;
  readonly want: readonly string[];
}

function check(load: string, modes: readonly Mode[], cases: readonly Case[]): void {
  for (const mode of modes) {
    test.each(cases)(`$query at $when, names dropped ${mode}`, async ({ query, when, want }) => {
      expect(await ask(load, query, when, mode)).toEqual(want);
    });
  }
}

const BOTH: readonly Mode[] = ["at once", "at the end"];

describe("absent_over_time of a subquery sees metrics apart that are equal without their names", () => {
  const load = 'load 1m\n  a{i="1"} 1 2 3\n  b{i="1"} 1 2 3\n';
  check(load, BOTH, [
    { query: 'absent_over_time({i="1"}[2m:15s])', when: 60, want: [] },
    { query: 'absent_over_time({i="2"}[2m:15s])', when: 60, want: ["1"] },
    { query: 'absent_over_time({i="1"}[1m:15s])', when: [300, 600, 150], want: ["600: 1"] },
    { query: 'sum(absent_over_time({i="1"}[2m:15s]))', when: 60, want: [] },
  ]);
});

describe("a float and a histogram of equal labels are in each other's way only where Prometheus joins points, not matrices", () => {
  const load = 'load 1m\n  f{i="0"} 1+1x10\n  g{i="0"} 1+1x2 stale\n  h{i="0"} _ {{schema:0 sum:10 count:10}}x10\n';
  const both = ["i=0 0: -1 60: -2 120: -3 60: histogram of -10 120: histogram of -10"];
  const same = ["vector cannot contain metrics with the same labelset"];
  check(load, BOTH, [
    { query: '-{__name__=~"f|h"}', when: 60, want: ["i=0 histogram of -10"] },
    { query: '-{__name__=~"f|h"}', when: 0, want: ["i=0 -1"] },
    { query: '-{__name__=~"f|h"}', when: [0, 120, 60], want: both },
    { query: '-{__name__=~"f|g"}', when: [0, 120, 60], want: same },
    { query: '-{__name__=~"f|g|h"}', when: [0, 120, 60], want: same },
    { query: '-{__name__=~"g|h"}', when: [600, 660, 60], want: ["i=0 600: histogram of -10 660: histogram of -10"] },
    { query: '{__name__=~"f|h"} + 1 > 0', when: 0, want: ["i=0 2"] },
  ]);
  check(
    load,
    ["at the end"],
    [
      {
        query: 'sum_over_time({__name__=~"f|h"}[1m])',
        when: [0, 60, 60],
        want: ["i=0 0: 1 60: 2 60: histogram of 10"],
      },
      { query: 'sum_over_time({__name__=~"f|h"}[1m])', when: 60, want: ["i=0 histogram of 10"] },
      { query: '(-{__name__=~"f|h"})[3m:1m]', when: 120, want: both },
    ],
  );
  check(load, ["at once"], [{ query: 'sum_over_time({__name__=~"f|h"}[1m])', when: [0, 60, 60], want: same }]);
  // What goes from step to step meets the float, and from there on no histogram.
  const late = 'load 1m\n  f{i="0"} _ 1+1x2 stale\n  h{i="0"} {{schema:0 sum:10 count:10}}x10\n';
  const kinds = '{__name__=~"f|h"}';
  check(
    late,
    ["at once"],
    [
      { query: `(-${kinds}) * 2`, when: 60, want: ["i=0 -2"] },
      { query: `(-${kinds}) * 2`, when: [0, 300, 60], want: ["i=0 60: -2 120: -4 180: -6 0: histogram of -20"] },
      { query: `count(-${kinds})`, when: [0, 300, 60], want: ["0: 1 60: 1 120: 1 180: 1"] },
      { query: `histogram_count(-${kinds})`, when: [0, 300, 60], want: ["i=0 0: -10"] },
      { query: `limitk(3, -${kinds})`, when: 60, want: ["i=0 -1"] },
      { query: `f + on (i) (-${kinds})`, when: 60, want: ["i=0 0"] },
      { query: `(-${kinds}) or vector(1)`, when: 60, want: ["1", "i=0 -1"] },
      { query: `label_replace(-${kinds}, "i", "1", "", "")`, when: 60, want: ["i=1 histogram of -10"] },
    ],
  );
  // A window of a subquery has both, but at its very end the float only.
  const mixed = 'PromQL warning: encountered a mix of histograms and floats for metric name "" (1:1)';
  check(
    load,
    ["at once"],
    [
      { query: `sum_over_time((-${kinds})[3m:1m])`, when: [0, 180, 60], want: ["i=0 0: -1 60: -3", mixed] },
      { query: `count_over_time((-${kinds})[3m:1m])`, when: [0, 180, 60], want: ["i=0 0: 1 60: 2 120: 4 180: 5"] },
      { query: `last_over_time((-${kinds})[3m:1m])`, when: [0, 120, 60], want: ["i=0 0: -1 60: -2 120: -3"] },
    ],
  );
});

describe("what @ fixes is looked up elsewhere where the subquery around it begins at the very start of the evaluation", () => {
  const load = "load 1m\n  m 0+10x20\n";
  check(load, BOTH, [
    { query: "last_over_time((m @ 60)[61s:30s] offset -1m)", when: 300, want: ["__name__=m 0"] },
    { query: "last_over_time((m @ 60)[60s:30s] offset -1m)", when: 300, want: ["__name__=m 10"] },
    { query: "last_over_time((m @ 180)[2m:1m] @ 600)", when: 540, want: ["__name__=m 20"] },
    { query: "last_over_time((m @ 180)[2m:1m] @ 600)", when: 600, want: ["__name__=m 30"] },
    { query: "(m @ 180)[3m:1m] offset -2m", when: 540, want: ["__name__=m 540: 10 600: 10 660: 10"] },
    { query: "max_over_time(sum_over_time(m[3m] @ 180)[3m:1m] offset -2m)", when: 540, want: ["10"] },
    {
      query: "last_over_time((m @ start())[3m:1m] offset -2m)",
      when: [300, 360, 60],
      want: ["__name__=m 300: 30 360: 30"],
    },
    { query: "last_over_time(timestamp(m @ 180)[2m:1m] @ 600)", when: 540, want: ["180"] },
    { query: "sum_over_time(sum_over_time(m[5m:1m] @ 360)[3m:1m] offset -2m)", when: 540, want: ["270"] },
  ]);
});

describe("of several errors the one that comes first when operands are evaluated one after the other", () => {
  const load = 'load 1m\n  m{i="1"} 1x10\n  m{i="2"} 2x10\n  one{i="1"} 1x10\n';
  const notANumber = "Parameter value is NaN";
  const smoothed = "smoothed modifier can only be used with: delta, increase, rate - not with sum_over_time";
  const badRegex = "invalid regular expression in label_replace(): (";
  check(load, BOTH, [
    { query: "topk(NaN, m) + sum_over_time(m[5m] smoothed)", when: 300, want: [notANumber] },
    { query: "sum_over_time(m[5m] smoothed) + topk(NaN, m)", when: 300, want: [smoothed] },
    { query: "topk(NaN, m) + label_replace(m, '0', '', '', '(')", when: 300, want: [notANumber] },
    { query: "m + topk(NaN, m) + label_replace(m, '0', '', '', '(')", when: 300, want: [notANumber] },
    {
      query: "label_replace(m, 'i', '', 'i', '.*') + topk(NaN, m)",
      when: [0, 60, 60],
      want: ["vector cannot contain metrics with the same labelset"],
    },
    {
      query: "m + on () group_left one + topk(NaN, m) + on () m",
      when: 300,
      want: [notANumber],
    },
    {
      query: "histogram_fraction(scalar(topk(NaN, m)), 1, limitk(-Inf, m) or limit_ratio(NaN, m))",
      when: 300,
      want: [notANumber],
    },
    // What is written is checked before anything is evaluated, but not before it is reached.
    { query: "label_replace(topk(NaN, m), 'a', '', '', '(')", when: 300, want: [badRegex] },
    {
      query: "label_join(topk(NaN, m), '', '')",
      when: 300,
      want: ["invalid destination label name in label_join(): "],
    },
    { query: 'count_values("v\\xff", topk(NaN, m))', when: 300, want: ['invalid label name "v\\xff"'] },
    { query: "last_over_time(sum_over_time(m[5m] smoothed)[30s:2m])", when: 330, want: [] },
    { query: "last_over_time(sum_over_time(m[5m] smoothed)[3m:2m])", when: 330, want: [smoothed] },
  ]);
});

describe("whether a histogram's counter was reset is not known where steps are longer than windows and it is the first of one", () => {
  const load = `load 1m
  h{a="1"} {{schema:0 count:10 buckets:[10]}} _x3 {{schema:0 count:12 buckets:[12]}} _x4 {{schema:0 count:5 buckets:[5]}}
  h{a="2"} {{schema:0 count:10 buckets:[10]}} _x3 {{schema:0 count:12 buckets:[12]}} _x3 {{schema:0 count:13 buckets:[13]}}x3
`;
  const conflict = "PromQL warning: conflicting counter resets during histogram aggregation (1:21)";
  check(load, BOTH, [
    { query: "histogram_count(sum(h))", when: [0, 600, 600], want: ["0: 20 600: 18"] },
    { query: "histogram_count(sum(h))", when: [0, 600, 300], want: ["0: 20 300: 24 600: 18", conflict] },
    { query: "histogram_count(sum(h))", when: [240, 600, 360], want: ["240: 24 600: 18"] },
    // The first step has read the sample behind it already.
    { query: "histogram_count(sum(h))", when: [241, 601, 360], want: ["241: 24 601: 18", conflict] },
    { query: "histogram_count(sum(h offset -1m))", when: [0, 600, 600], want: ["0: 20 600: 18"] },
    { query: "histogram_count(sum(last_over_time(h[5m])))", when: [0, 600, 600], want: ["0: 20 600: 18"] },
    { query: "histogram_count(sum(last_over_time(h[7m])))", when: 600, want: ["18", conflict] },
  ]);
});

describe("floats that nothing is made of are noted all the same", () => {
  const load = 'load 1m\n  f{i="0"} 0+10x10\n  f{i="1"} {{schema:0 sum:10 count:10}}x10\n  f{i="2"} 3x2 _x8\n';
  const doubt = (place: string) =>
    `PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "f" (${place})`;
  const mixed = (place: string) =>
    `PromQL warning: encountered a mix of histograms and floats for aggregation (${place})`;
  check(load, BOTH, [
    { query: "sum(rate(f[3m]))", when: 300, want: [mixed("1:5"), doubt("1:10")] },
    { query: "avg(increase(f[3m]))", when: [300, 360, 60], want: [mixed("1:5"), doubt("1:14")] },
    { query: 'sum(rate(f{i="1"}[3m]))', when: 300, want: ["histogram of 0"] },
  ]);
});
