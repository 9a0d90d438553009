// test/unit/kernel/column-layout.test.ts: TypeScript and AssemblyScript agree on the column codec's memory and header; the tables sum up.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as layout from "../../../libs/kernel/column-layout.ts";
import { FREQUENCIES } from "../../../libs/kernel/column-tables.ts";
import { ROOT } from "../../needs.ts";

const source = readFileSync(join(ROOT, "libs/kernel/assembly/lib/column-layout.ts"), "utf8");
const constants = new Map(
  [...source.matchAll(/export const (\w+): \w+ = (0x[0-9a-f]+|\d+);/g)].map((m) => [m[1]!, Number(m[2]!)]),
);

test("control block and header", () => {
  expect(constants.get("CONTROL")).toBe(1024);
  for (const [name, index] of Object.entries(layout.COLUMN_WORDS))
    expect([name, index * 4]).toEqual([name, 1024 + constants.get(name)!]);
  for (const [name, offset] of Object.entries(layout.FIELD))
    expect([name, offset]).toEqual([name, constants.get(`F_${name}`)]);
});

test.each([
  ["GUARD", layout.COLUMN_GUARD_BYTES],
  ["TABLES", layout.TABLE_COUNT],
  ["STATES", layout.STATE_COUNT],
  ["SYMBOLS", layout.SYMBOL_COUNT],
  ["ESCAPE", layout.ESCAPE_SYMBOL],
  ["REFERENCES_MAX", layout.REFERENCES_MAX],
  ["EXPONENT_MAX", layout.EXPONENT_MAX],
  ["HEADER_BYTES", layout.COLUMN_HEADER_BYTES],
  ["KIND_RAW", layout.KIND_RAW],
  ["KIND_CONSTANT", layout.KIND_CONSTANT],
  ["KIND_LINEAR", layout.KIND_LINEAR],
  ["KIND_CODED", layout.KIND_CODED],
  ["FLAG_REFERENCE", layout.FLAG_REFERENCE],
  ["FLAG_EXCEPTIONS", layout.FLAG_EXCEPTIONS],
  ["FLAG_RESIDUALS", layout.FLAG_RESIDUALS],
  ["FLAG_RESIDUALS_ALL", layout.FLAG_RESIDUALS_ALL],
  ["PREDICT_DELTA", layout.PREDICT_DELTA],
  ["PREDICT_MEDIAN", layout.PREDICT_MEDIAN],
  ["PREDICT_SLOPE", layout.PREDICT_SLOPE],
  ["PREDICT_FLOOR", layout.PREDICT_FLOOR],
  ["PREDICT_LINE", layout.PREDICT_LINE],
  ["NONE", layout.NO_INDEX],
])("%s", (name, value) => {
  expect(constants.get(name)).toBe(value);
});

test("frequencies: every table sums up to its states and has an escape; FORMAT.md lists the same", () => {
  expect(FREQUENCIES.length).toBe(layout.TABLE_COUNT);
  const format = readFileSync(join(ROOT, "libs/kernel/FORMAT.md"), "utf8");
  for (const row of FREQUENCIES) {
    expect(row.length).toBe(layout.SYMBOL_COUNT);
    expect(row.reduce((a, b) => a + b)).toBe(layout.STATE_COUNT);
    expect(row[layout.ESCAPE_SYMBOL]).toBeGreaterThan(0);
    expect(format).toContain(row.join(" "));
  }
});
