// test/unit/promql/label-hash.test.ts: XXH64 against its published values, and the shares that limit_ratio samples.
import { expect, test } from "vitest";
import { hashFraction, xxh64 } from "../../../libs/promql/label-hash.ts";

function hashOf(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return xxh64(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)).toString(16);
}

test.each([
  ["", "ef46db3751d8e999"],
  ["a", "d24ec4f1a98c6e5b"],
  ["abc", "44bc2cf5ad770999"],
  ["Nobody inspects the spammish repetition", "fbcea83c8a378bf1"],
])("XXH64 of %j", (text, want) => {
  expect(hashOf(text)).toBe(want);
});

test("labels spread evenly, and a long value is hashed whole", () => {
  const fractions = Array.from({ length: 4000 }, (_, i) => hashFraction(["__name__", "m", "i", `${i}`]));
  expect(fractions.every((fraction) => fraction >= 0 && fraction <= 1)).toBe(true);
  expect(fractions.filter((fraction) => fraction < 0.25).length / 4000).toBeCloseTo(0.25, 1);
  const long = "x".repeat(300);
  expect(hashFraction(["a", `${long}y`])).not.toBe(hashFraction(["a", `${long}z`]));
  expect(hashFraction(["a", "b"])).not.toBe(hashFraction(["ab", ""]));
});
