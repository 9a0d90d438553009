// test/unit/kernel/head-layout.test.ts: TypeScript and AssemblyScript agree on the head's memory layout and on the
// chunk format's numbers.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as chunk from "../../../libs/chunk/index.ts";
import * as layout from "../../../libs/kernel/head-layout.ts";
import { ROOT } from "../../needs.ts";

const source = readFileSync(join(ROOT, "libs/kernel/assembly/lib/head-layout.ts"), "utf8");
const constants = new Map(
  [...source.matchAll(/export const (\w+): \w+ = (0x[0-9a-f]+|\d+)/g)].map((m) => [m[1]!, BigInt(m[2]!)]),
);
const offset = (name: string): number => Number(constants.get(name) ?? Number.NaN);

test("control block", () => {
  for (const [name, index] of Object.entries(layout.CONTROL_WORDS))
    expect([name, index * 4]).toEqual([name, 1024 + offset(name)]);
  for (const [name, index] of Object.entries(layout.CONTROL_TOTALS))
    expect([name, index * 8]).toEqual([name, 1024 + offset(name)]);
  expect(offset("CONTROL")).toBe(1024);
});

test.each([
  ["SERIES_BYTES", layout.SERIES_WORDS * 4],
  ["GROUP_BYTES", layout.GROUP_WORDS * 4],
  ["HOT_BYTES", layout.HOT_WORDS * 4],
  ["H_GROUP", layout.H_GROUP * 4],
  ["H_NEXT", layout.H_NEXT * 4],
  ["H_CURSOR", layout.H_CURSOR * 4],
  ["H_CLEAN_FROM", layout.H_CLEAN_FROM * 4],
  ["S_CHUNK", layout.S_CHUNK * 4],
  ["S_SEALED", layout.S_SEALED * 4],
  ["S_GROUP_FIRST", layout.S_GROUP_FIRST * 4],
  ["S_FLAGS", layout.S_FLAGS * 4],
  ["SERIES_LATE", layout.SERIES_LATE],
  ["SERIES_MOVED", layout.SERIES_MOVED],
  ["LEAVING", layout.LEAVING],
  ["NONE", layout.NONE],
  ["G_COUNT", layout.G_COUNT * 4],
  ["G_HOME", layout.G_HOME * 4],
  ["GUARD", layout.GUARD_BYTES],
  ["READ_SLACK", layout.READ_SLACK_BYTES],
  ["CHUNK_HEADER", chunk.CHUNK_HEADER_BYTES],
  ["CHUNK_ORDINALS", chunk.CHUNK_ORDINALS_MAX],
  ["CHUNK_ORDINALS_CONSTANT", chunk.CHUNK_ORDINALS_CONSTANT_MAX],
  ["FRAME_SAMPLES", chunk.FRAME_SAMPLES],
  ["GAP_HOLES", chunk.GAP_HOLES_MAX],
  ["CHUNK_CONSTANT", chunk.CHUNK_CONSTANT],
  ["CHUNK_HOLES", chunk.CHUNK_HOLES],
  ["CHUNK_STALE", chunk.CHUNK_STALE],
  ["CHUNK_NAN", chunk.CHUNK_NAN],
  ["FRAME_RUN", chunk.FRAME_RUN],
  ["FRAME_SAME", chunk.FRAME_SAME],
  ["FRAME_XOR", chunk.FRAME_XOR],
  ["FRAME_DECIMAL", chunk.FRAME_DECIMAL],
  ["FRAME_HAS_HOLES", chunk.FRAME_HAS_HOLES],
  ["FRAME_HAS_STALE", chunk.FRAME_HAS_STALE],
  ["FRAME_DENSE", chunk.FRAME_DENSE],
])("%s", (name, value) => {
  expect(offset(name)).toBe(value);
});

test("special values", () => {
  expect(constants.get("HOLE")).toBe(chunk.HOLE_BITS);
  expect(constants.get("STALE")).toBe(chunk.STALE_BITS);
  expect((BigInt(chunk.HOLE_HIGH) << 32n) | BigInt(chunk.HOLE_LOW)).toBe(chunk.HOLE_BITS);
});
