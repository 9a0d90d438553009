// test/unit/promql/budget.test.ts: what a query may take beyond its leaves: texts of labels count as bytes, and long work goes in slices, between
// which it can be canceled and ends when its time is over.
import { expect, test } from "vitest";
import { CanceledError, type QueryContext, TimeoutError } from "../../../libs/model/index.ts";
import { Engine } from "../../../libs/promql/index.ts";
import { MemoryQueryable } from "../../promql/memory-queryable.ts";

const SERIES = 300;

function context(overrides: Partial<QueryContext> = {}): QueryContext {
  const signal = new AbortController().signal;
  return { tenant: "default", signal, deadlineMs: 1e9, samplesMax: 1e7, ...overrides };
}

const storage = new MemoryQueryable();
for (let i = 0; i < SERIES; i++) {
  const labels = ["__name__", "many", "id", String(i).padStart(5, "0")];
  for (let t = 0; t < 200; t++) storage.append(labels, [{ timeMs: t, value: i, stale: false, histogram: false }]);
}

/** An engine whose clock tells a millisecond more each time. */
function ticking(): { engine: Engine; told: () => number } {
  let nowMs = 0;
  return { engine: new Engine({ now: () => nowMs++ }), told: () => nowMs };
}

const still = new Engine({ now: () => 0 });
const replaced = (query: string, template: string) => `label_replace(${query}, "x", "${template}", "id", "(.*)")`;
const grown = (query: string) => `label_replace(${query}, "x", "${"$1".repeat(10)}", "x", "(.*)")`;

test.each([
  ["one text each", replaced("many", "$1".repeat(2000))],
  ["texts that grow", grown(grown(grown(grown(grown(grown(replaced("many", "$1")))))))],
  ["longer than a string can be", Array.from({ length: 9 }).reduce<string>(grown, replaced('many{id="00001"}', "$1"))],
  ["joined", `label_join(many, "x", ",", ${Array.from({ length: 2000 }, () => '"id"').join()})`],
  ["beside each other", [1, 2, 3].map((x) => replaced(`many * ${x}`, "$1".repeat(400))).join(" + on(x) ")],
])("labels count as bytes: %s", async (_, query) => {
  const asked = still.instant(storage, `count(${query})`, 0, context({ bytesMax: 1 << 20 }));
  await expect(asked).rejects.toMatchObject({ limit: "query-bytes-max" });
});

test("values that become labels count as bytes", async () => {
  const asked = (bytesMax: number) => still.instant(storage, 'count_values("x", many / 3)', 0, context({ bytesMax }));
  await expect(asked(12_000)).rejects.toMatchObject({ limit: "query-bytes-max" });
  await asked(60_000);
});

test("labels that are made anew leave room for the next ones", async () => {
  const query = Array.from({ length: 40 }).reduce<string>((inner) => replaced(inner, "$1".repeat(80)), "many");
  const { value } = await still.instant(storage, query, 0, context({ bytesMax: 1 << 20 }));
  if (value.type !== "vector") throw new Error("want a vector");
  expect(value.columns).toHaveLength(SERIES);
  expect(value.columns[1]!.labels).toContain("00001".repeat(80));
});

const LONG = [
  replaced("many", "$1"),
  'label_join(many, "x", "", "id")',
  "topk(3, many)",
  "bottomk(90, many)",
  "limitk(3, many)",
  'count_values("x", many)',
  "quantile(0.5, many)",
  "quantile_over_time(0.5, many[20ms:1ms])",
  "stddev(many)",
  "sum(-many)",
  "-many",
  "many * 2",
  "many > bool 2",
  "many / many",
  "many and many",
  "many or many",
  "many unless many",
  "many * on () group_left () vector(1)",
  "abs(many)",
  "clamp(many, 1, 2)",
  "day_of_week(many)",
  'histogram_quantile(0.9, label_replace(many, "le", "$1", "id", ".*(.)"))',
];

test.each(LONG)("%s gives way, and ends when it is canceled or its time is over", async (query) => {
  const { engine, told } = ticking();
  let turns = 0;
  let isDone = false;
  const counting = (async () => {
    for (; !isDone; turns++) await new Promise((resolve) => setImmediate(resolve));
  })();
  await engine.range(storage, query, 0, 150, 1, context());
  isDone = true;
  await counting;
  expect(turns).toBeGreaterThan(8);
  const half = told() / 2;
  await expect(ticking().engine.range(storage, query, 0, 150, 1, context({ deadlineMs: half }))).rejects.toThrow(
    TimeoutError,
  );
  const canceled = new AbortController();
  setTimeout(() => canceled.abort(), 1);
  const asked = ticking().engine.range(storage, query, 0, 150, 1, context({ signal: canceled.signal }));
  await expect(asked).rejects.toThrow(CanceledError);
});

test("series of one signature give way between each other", async () => {
  const { engine, told } = ticking();
  await engine.range(storage, "many * on () group_left () vector(1)", 0, 2999, 1, context());
  const { engine: other, told: toldOfOther } = ticking();
  await other.range(storage, "many * on () group_left () vector(1)", 0, 29, 1, context());
  // Finding the groups takes as many steps in both.
  expect(told() - toldOfOther()).toBeGreaterThan(SERIES);
});

test("a query whose last step took too long has no answer", async () => {
  let nowMs = 0;
  const engine = new Engine({ now: () => nowMs });
  const asked = engine.instant(storage, "scalar(many)", 0, context({ deadlineMs: 5 }));
  // Its leaf has been asked by now, and everything after it is one step.
  nowMs = 10;
  await expect(asked).rejects.toThrow(TimeoutError);
});
