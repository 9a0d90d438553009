// test/unit/block/golden.test.ts: blocks that earlier releases wrote stay readable, to the last bit. test/golden/block-1.tmb was written
// by the first release of version 1 from the series below, and is never written again.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { verifyBlock } from "../../../libs/block/index.ts";
import { COLUMN_FIELD as FIELD } from "../../../libs/kernel/index.ts";
import { ROOT } from "../../needs.ts";
import { byKey, contentOf, kernel, newDisk, openBlock, textOf } from "./block-fixture.ts";
import { GOLDEN_OPTIONS, goldenSeries } from "./golden-series.ts";

test("version 1", () => {
  const fs = newDisk();
  const file = fs.open("/b", "create");
  file.write(readFileSync(join(ROOT, "test/golden/block-1.tmb")), 0);
  file.close();
  expect(verifyBlock(fs, "/b", kernel)).toEqual([]);
  const reader = openBlock(fs, "/b");
  const series = byKey(goldenSeries());
  expect(contentOf(reader)).toEqual(series.map((s) => textOf(s.key, s.times, s.columns)));
  expect(reader.footer).toMatchObject({ ...GOLDEN_OPTIONS, seriesCount: series.length });
  expect(reader.footer.tenants.map((t) => t.tenant)).toEqual(["t", "default"]);
  // What the file must show: every kind, predictor and flag.
  const headers = series.map((_, i) => reader.column(i).header);
  expect(new Set(headers.map((h) => h.kind))).toEqual(new Set(["raw", "constant", "linear", "coded"]));
  const coded = headers.filter((h) => h.kind === "coded");
  expect(new Set(coded.map((h) => h.bytes[FIELD.PREDICTOR]))).toEqual(new Set([0, 1, 2, 3, 4]));
  expect(headers.reduce((flags, h) => flags | h.bytes[FIELD.FLAGS]!, 0)).toBe(15);
  const statistics = headers.map((h) => [h.samples, h.nans, h.min, h.max, h.sum, h.increase]);
  const golden = JSON.parse(readFileSync(join(ROOT, "test/golden/block-1.json"), "utf8"));
  expect(JSON.parse(JSON.stringify(statistics))).toEqual(golden);
});
