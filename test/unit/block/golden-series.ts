// test/unit/block/golden-series.ts: the series of test/golden/block-1.tmb. A change here makes its test fail: the file stays as it is.
import type { BlockOptions } from "../../../libs/block/index.ts";
import { columnOf } from "../kernel/column-courses.ts";
import { bitsOf, STALE } from "../kernel/head-batches.ts";
import { Draw } from "../kernel/head-programs.ts";
import { keyOf, type TestSeries } from "./block-fixture.ts";

export const GOLDEN_OPTIONS: BlockOptions = {
  id: Uint8Array.from({ length: 16 }, (_, i) => i + 1),
  shard: 5,
  shardCount: 64,
  hashSeed: Uint8Array.from({ length: 16 }, (_, i) => i * 16),
  level: "raw",
  minMs: 1_750_000_000_000,
  maxMs: 1_750_007_200_000,
  walPosition: [12n, 34_567n],
  parents: [new Uint8Array(16).fill(0xaa), new Uint8Array(16).fill(0xbb)],
  columnsPerSeries: 1,
};

export function goldenSeries(): TestSeries[] {
  const draw = new Draw(1);
  const times = [0, 1, 2].map((which) =>
    Float64Array.from(
      { length: 120 },
      (_, i) =>
        GOLDEN_OPTIONS.minMs + 15 + which + i * 15_000 + (which > 0 && draw.chance(0.2 * which) ? draw.below(20) : 0),
    ),
  );
  const out: TestSeries[] = [];
  const add = (name: string, value: (i: number) => bigint | number, labels = {}, tenant = "default"): void => {
    const column = times[out.length % 3]!;
    const bits = Array.from(column, (_, i) => value(i)).map((v) => (typeof v === "bigint" ? v : bitsOf(v)));
    const key = keyOf(tenant, { __name__: name, instance: `i-${out.length % 3}`, job: "golden", ...labels });
    out.push({ key, times: column, columns: [columnOf(bits)] });
  };
  const counter = (pace: () => number): (() => number) => {
    let sum = 1000;
    return () => {
      sum += pace();
      return sum;
    };
  };
  add("constant", () => 0.25);
  add("constant_stale", () => STALE);
  add("linear", (i) => 7 + i * 3);
  add("linear_ended", (i) => (i < 100 ? 12.5 : STALE));
  add(
    "steady",
    counter(() => 100_000 + draw.below(4)),
  );
  add(
    "counter",
    counter(() => draw.below(3000)),
  );
  add(
    "pages",
    counter(() => draw.below(50) * 4096),
  );
  add(
    "rests",
    counter(() => (draw.chance(0.1) ? draw.below(99) : 0)),
  );
  add("level", () => (draw.chance(0.6) ? 55 : 55 + draw.below(300)) / 100);
  let [slope, at] = [0, 0];
  add("bends", () => {
    slope += draw.below(3) - 1;
    at += slope * 20;
    return at + 5_000_000;
  });
  let pace = 0;
  let way = 0;
  add("paced", (i) => {
    if (i % 12 === 0) pace = draw.below(100_000);
    way += pace + (draw.chance(0.1) ? 5000 : 0);
    return way;
  });
  const blur = counter(() => draw.below(900) / 1000);
  add("blurred", blur);
  add(
    "product",
    counter(() => 1),
    {},
    "t",
  );
  add("product_seconds", (i) => (i * i + 3) * 1e-9, {}, "t");
  // The same decimal, an ulp away, while its integer rests.
  add("flickers", (i) => bitsOf(0.3) + BigInt(i % 2), {}, "t");
  add("noise", () => draw.bits(), { "utf-8": "größe" }, "t");
  add("odd", (i) => [0, -0, Infinity, -Infinity, Number.NaN, 1e300][draw.below(6)]! + i * 0, {}, "t");
  const bounds = ["0.1", "1", "10", "+Inf"];
  const sums = bounds.map(() => 0);
  const rows = times[0]!.map(() => 0);
  const table = Array.from(rows, () => {
    bounds.forEach((_, b) => {
      sums[b] = sums[b]! + (b === 0 ? draw.below(900) : draw.below(3));
    });
    return sums.map((_, b) => sums.slice(0, b + 1).reduce((a, x) => a + x));
  });
  bounds.forEach((le, b) => {
    const bits = table.map((row) => bitsOf(row[b]!));
    const key = keyOf("default", { __name__: "wait_bucket", instance: "i-0", job: "golden", le });
    out.push({ key, times: times[0]!, columns: [columnOf(bits)] });
  });
  return out;
}
