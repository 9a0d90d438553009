// test/unit/tsdb/deletion-record.test.ts: records of deletions against their golden one, cut, flipped, and longer than one record.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CorruptionError } from "../../../libs/model/index.ts";
import {
  type DeletionRecord,
  decodeDeletion,
  deletionBytesMax,
  encodeDeletion,
} from "../../../libs/tsdb/deletion-record.ts";
import { ROOT } from "../../needs.ts";

const record: DeletionRecord = {
  number: 7,
  undo: false,
  deletion: {
    ...{ id: "00112233445566ff", tenant: "team-a", selectors: ['{job="ä"}', "up"], series: 2 },
    ...{ minMs: -9_007_199_254_740_991, maxMs: 1_750_003_600_000, madeMs: 1_750_007_300_000 },
  },
  ids: Uint8Array.from({ length: 32 }, (_, i) => i * 7),
};

test("the golden record is written and read as ever", () => {
  const golden = JSON.parse(readFileSync(join(ROOT, "test/golden/deletion-record-1.json"), "utf8")) as { hex: string };
  const [body, ...more] = encodeDeletion(record);
  expect(more).toEqual([]);
  expect(Buffer.from(body!).toString("hex")).toBe(golden.hex);
  expect(decodeDeletion(Buffer.from(golden.hex, "hex"))).toEqual(record);
});

test("undoing has no series", () => {
  const undo = { ...record, undo: true, ids: new Uint8Array(0) };
  const [body] = encodeDeletion(undo);
  expect(decodeDeletion(body!)).toEqual(undo);
});

test("a long one takes several, each with all that is said of it", () => {
  const ids = Uint8Array.from({ length: 16 * 40_000 }, (_, i) => i);
  const bodies = encodeDeletion({ ...record, ids });
  expect(bodies.length).toBe(3);
  const parts = bodies.map(decodeDeletion);
  for (const part of parts) expect({ ...part, ids: record.ids }).toEqual(record);
  expect(Buffer.concat(parts.map((part) => part.ids)).equals(ids)).toBe(true);
  const total = bodies.reduce((sum, body) => sum + body.length, 0);
  expect(deletionBytesMax(record.deletion.selectors, 40_000)).toBeGreaterThanOrEqual(total);
});

test.each<[string, (bytes: Buffer) => Uint8Array]>([
  ["nothing", () => new Uint8Array(0)],
  ["another version", (bytes) => Buffer.concat([Buffer.from([2]), bytes.subarray(1)])],
  ["half an id", (bytes) => bytes.subarray(0, bytes.length - 8)],
  ["a text beyond its end", (bytes) => bytes.subarray(0, 20)],
  ["another text", (bytes) => Buffer.from(bytes.toString("latin1").replace('"undo":false', '"undo":"yes"'), "latin1")],
  ["no JSON", (bytes) => Buffer.from(bytes.toString("latin1").replace("{", "["), "latin1")],
  ["a strange id", (bytes) => Buffer.from(bytes.toString("latin1").replace("0011", "zz11"), "latin1")],
])("%s is no record", (_name, harm) => {
  const bytes = harm(Buffer.from(encodeDeletion(record)[0]!));
  expect(() => decodeDeletion(bytes)).toThrow(CorruptionError);
});
