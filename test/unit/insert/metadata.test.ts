// test/unit/insert/metadata.test.ts: family metadata of both versions reaches storage once, and again when it changes or got lost.
import { describe, expect, test } from "vitest";
import { UnavailableError } from "../../../libs/model/index.ts";
import { familyOf, MetadataCache } from "../../../services/insert/metadata.ts";
import { makeStorages, startInsert } from "./insert-harness.ts";
import { field, labels, type MetadataSpec, messageV1, type SeriesSpec, varint, varintField } from "./remote-write.ts";

const T = 1_700_000_000_000;
const meta = (family: string, help = "h", unit = "s", type = 1): MetadataSpec => ({ type, family, help, unit });

describe("version 1", () => {
  test("a request of metadata alone, sent again every minute, travels once", async () => {
    const h = await startInsert(makeStorages(1));
    for (let i = 0; i < 3; i++) expect((await h.v1([], [meta("a"), meta("b", "ü\n", "", 3)])).status).toBe(204);
    expect(h.storages[0]!.metadata).toEqual([
      { tenant: "default", family: "a", type: "counter", help: "h", unit: "s" },
      { tenant: "default", family: "b", type: "histogram", help: "ü\n", unit: "" },
    ]);
    expect(h.insert.stats.metadataSent).toBe(2);
  });

  test.each<[string, MetadataSpec]>([
    ["help", meta("a", "other")],
    ["unit", meta("a", "h", "bytes")],
    ["type", meta("a", "h", "s", 2)],
  ])("a changed %s travels", async (_, changed) => {
    const h = await startInsert(makeStorages(1));
    await h.v1([], [meta("a")]);
    await h.v1([], [changed]);
    expect(h.storages[0]!.metadata).toHaveLength(2);
  });

  test("tenants are apart; of one family given twice the last counts", async () => {
    const h = await startInsert(makeStorages(1));
    await h.v1([], [meta("a", "old"), meta("a", "new")], "t1");
    await h.v1([], [meta("a", "new")], "t2");
    expect(h.storages[0]!.metadata.map((m) => [m.tenant, m.help])).toEqual([
      ["t1", "new"],
      ["t2", "new"],
    ]);
  });

  test("each type by its number, numbers of the future as unknown", async () => {
    const h = await startInsert(makeStorages(1));
    await h.v1(
      [],
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 1000].map((type) => meta(`f${type}`, "", "", type)),
    );
    expect(h.storages[0]!.metadata.map((m) => m.type)).toEqual([
      "unknown",
      "counter",
      "gauge",
      "histogram",
      "gaugehistogram",
      "summary",
      "info",
      "stateset",
      "unknown",
      "unknown",
    ]);
  });

  test("bad entries are counted, the others and the samples kept", async () => {
    const h = await startInsert(makeStorages(1));
    const bad = [
      field(3, Buffer.concat([varintField(1, 1), field(4, "no family")])),
      field(3, Buffer.concat([field(2, "x"), field(4, Buffer.from([0xff]))])),
      field(3, Buffer.concat([field(2, "x"), field(4, "h".repeat(65_537))])),
    ];
    const good = messageV1([{ labels: labels("up"), samples: [[1, T]] }], [meta("a")]);
    const reply = await h.send(1, Buffer.concat([...bad, good]));
    expect([reply.status, reply.text]).toEqual([
      400,
      [
        "cannot store 3 metadata entries: got what is listed below; want it corrected or left out; 1 sample stored",
        "1 metadata entry: metadata without a family name",
        "1 metadata entry: metadata that is not UTF-8",
        "1 metadata entry: metadata with a text of 65537 bytes; want at most 65536 (--label-value-max)",
      ].join("\n"),
    ]);
    expect([h.storages[0]!.metadata.length, h.storages[0]!.sampleCount]).toEqual([1, 1]);
  });

  test("an entry that is malformed inside refuses the request", async () => {
    const h = await startInsert(makeStorages(1));
    const reply = await h.send(1, field(3, Buffer.from([0x12, 0x7f, 0x61])));
    expect(reply.status).toBe(400);
  });

  test("what got lost is sent again with the next request", async () => {
    const h = await startInsert(makeStorages(1));
    const storage = h.storages[0]!;
    storage.hold = true;
    const write = h.v1([], [meta("a")]);
    await h.clock.advance(0);
    storage.cutConnections();
    expect((await write).status).toBe(503);
    storage.hold = false;
    await h.clock.advance(1_000);
    expect((await h.v1([], [meta("a")])).status).toBe(204);
    expect(storage.metadata).toHaveLength(1);
  });

  test("families are spread over the owners of their shards", async () => {
    const h = await startInsert(makeStorages(2));
    await h.v1(
      [],
      Array.from({ length: 60 }, (_, i) => meta(`family_${i}`)),
    );
    const counts = h.storages.map((s) => s.metadata.length);
    expect(counts.reduce((a, b) => a + b)).toBe(60);
    for (const count of counts) expect(count).toBeGreaterThan(10);
  });
});

describe("version 2", () => {
  const with2 = (name: string, help: string, type = 1, more: Record<string, string> = {}, time = T): SeriesSpec => ({
    labels: labels(name, more),
    samples: [[1, time]],
    metadata: [type, help, "s"],
  });

  test("once per family, however many series carry it", async () => {
    const h = await startInsert(makeStorages(1));
    const series = ["1", "2", "3"].flatMap((le) =>
      ["_bucket", "_sum", "_count"].map((s) => with2(`lat${s}`, "h", 3, { le })),
    );
    for (let i = 0; i < 3; i++) expect((await h.v2([...series, with2("x_total", "t")])).status).toBe(204);
    expect(h.storages[0]!.metadata.map((m) => [m.family, m.type, m.help, m.unit])).toEqual([
      ["lat", "histogram", "h", "s"],
      ["x_total", "counter", "t", "s"],
    ]);
  });

  test("a change is noticed within a minute", async () => {
    const h = await startInsert(makeStorages(1));
    await h.v2([with2("a", "old")]);
    await h.v2([with2("a", "new", 1, {}, T + 1)]);
    expect(h.storages[0]!.metadata.map((m) => m.help)).toEqual(["old"]);
    await h.clock.advance(61_000);
    await h.v2([with2("a", "new", 1, {}, T + 2)]);
    expect(h.storages[0]!.metadata.map((m) => m.help)).toEqual(["old", "new"]);
  });

  test("what got lost is looked at again at once", async () => {
    const h = await startInsert(makeStorages(1));
    const storage = h.storages[0]!;
    storage.failures.push(new UnavailableError("busy"));
    const session = storage.sessions[0]!;
    const append = session.appendMetadata.bind(session);
    session.appendMetadata = async () => {
      session.appendMetadata = append;
      throw new UnavailableError("busy");
    };
    expect((await h.v2([with2("a", "h")])).status).toBe(503);
    expect((await h.v2([with2("a", "h")])).status).toBe(204);
    expect(storage.metadata).toHaveLength(1);
  });

  test("none, and references beyond the symbols", async () => {
    const h = await startInsert(makeStorages(1));
    await h.v2([{ labels: labels("a"), samples: [[1, T]] }]);
    expect(h.storages[0]!.metadata).toEqual([]);
    const symbols = ["", "__name__", "x"].map((text) => field(4, text));
    const metadata = field(5, Buffer.concat([varintField(1, 1), varintField(3, 99)]));
    const sampleField = field(2, varintField(2, T));
    const series = field(5, Buffer.concat([field(1, Buffer.concat([varint(1), varint(2)])), sampleField, metadata]));
    const message = Buffer.concat([...symbols, series]);
    for (let again = 0; again < 2; again++) {
      const reply = await h.send(2, message);
      expect([reply.status, reply.text]).toEqual([
        400,
        expect.stringContaining('1 metadata entry: metadata of "x" with references beyond the 3 symbols'),
      ]);
    }
    expect(h.storages[0]!.sampleCount).toBe(2);
  });
});

test.each<[string, Parameters<typeof familyOf>[1], string]>([
  ["a_bucket", "histogram", "a"],
  ["a_count", "summary", "a"],
  ["a_bucket", "summary", "a_bucket"],
  ["a_gsum", "gaugehistogram", "a"],
  ["a_total", "counter", "a_total"],
  ["_sum", "histogram", "_sum"],
])("%s of a %s belongs to %s", (name, type, family) => {
  expect(familyOf(name, type)).toBe(family);
});

test("the cache forgets everything past its cap, and its size is what it holds", () => {
  const cache = new MetadataCache(10_000);
  const entry = (i: number, help = "h".repeat(100)) => ({
    tenant: "t",
    family: `f${i}`,
    type: "gauge" as const,
    help,
    unit: "",
  });
  for (let i = 0; i < 1_000; i++) {
    cache.confirm([entry(i)]);
    expect(cache.sizeBytes).toBeLessThanOrEqual(10_000);
  }
  cache.clear();
  for (let i = 0; i < 1_000; i++) cache.confirm([entry(1, "h".repeat(i % 7))]);
  expect(cache.isNews(entry(1, "h".repeat(999 % 7)))).toBe(false);
  expect(cache.sizeBytes).toBeLessThan(400);
  cache.confirm([{ ...entry(1), family: "__proto__" }]);
  expect(cache.isNews({ ...entry(1), family: "__proto__" })).toBe(false);
  expect(cache.isNews({ ...entry(1), family: "constructor" })).toBe(true);
});
