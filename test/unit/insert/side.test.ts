// test/unit/insert/side.test.ts: native histograms, exemplars and start times on their way through an insert: what storages get, what is
// refused and in which words, exact counts, and what happens when a storage is away.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeSeriesKey, labelsToRecord, UnavailableError } from "../../../libs/model/index.ts";
import { mergeSide, type SideSeries } from "../../../libs/side/index.ts";
import { readHistogram } from "../../../services/insert/histogram-wire.ts";
import { anyHistogram } from "../side/any-side.ts";
import { fieldsOf, type HistogramFields, histogramMessage } from "./histogram-message.ts";
import { header, makeStorages, startInsert, writtenCounts } from "./insert-harness.ts";
import { field, label, labels, sample, varint, varintField } from "./remote-write.ts";
import type { StorageTwin } from "./storage-twin.ts";

const T = 1_700_000_000_000;
const GOOD: HistogramFields = { count: 3, sum: 1.5, positiveSpans: [[1, 2]], positive: [1, 2], timeMs: T };

function double(number: number, value: number): Buffer {
  const out = Buffer.alloc(9);
  out[0] = (number << 3) | 1;
  out.writeDoubleLE(value, 1);
  return out;
}

/** A version 1 request of one series. */
function v1(name: string, parts: readonly Buffer[]): Buffer {
  return field(1, Buffer.concat([label("__name__", name), label("job", "j"), ...parts]));
}

/** Version 2, whose symbols are "", __name__, NAME, job, j, trace_id, abc. */
function v2(name: string, parts: readonly Buffer[]): Buffer {
  const symbols = ["", "__name__", name, "job", "j", "trace_id", "abc"].map((text) => field(4, text));
  const refs = field(1, Buffer.concat([1, 2, 3, 4].map(varint)));
  return Buffer.concat([...symbols, field(5, Buffer.concat([refs, ...parts]))]);
}

/** What a storage has, by series. */
function ledger(storage: StorageTwin): Record<string, SideSeries> {
  const out: Record<string, SideSeries> = {};
  for (const { name, side } of storage.side) {
    const { labels: own } = decodeSeriesKey(name.key);
    const key = JSON.stringify(labelsToRecord(own));
    out[key] = mergeSide([...(out[key] === undefined ? [] : [out[key]]), side]);
  }
  return out;
}

const H = '{"__name__":"h","job":"j"}';

describe("histograms", () => {
  test("a message's histogram is the one that was written, integer or float", () => {
    fc.assert(
      fc.property(anyHistogram, fc.boolean(), ({ histogram, isFloat }, asFloat) => {
        const read = readHistogram(histogramMessage(fieldsOf(histogram, asFloat || isFloat, T, 5)));
        expect(read).toEqual({ timeMs: T, startMs: 5, histogram });
      }),
    );
  });

  test.each([1, 2] as const)(
    "version %i: are sent to the owner of their series, with exact counts",
    async (version) => {
      const h = await startInsert(makeStorages(1));
      const [histogramField, exemplarField] = version === 1 ? [4, 3] : [3, 4];
      const exemplarLabels = version === 1 ? label("trace_id", "abc") : field(1, Buffer.concat([varint(5), varint(6)]));
      const parts = [
        field(histogramField, histogramMessage(GOOD)),
        field(histogramField, histogramMessage({ ...GOOD, timeMs: T + 1, sumBits: 0x7ff0000000000002n })),
        field(exemplarField, Buffer.concat([exemplarLabels, double(2, 0.5), varintField(3, T)])),
      ];
      const reply = await h.send(version, version === 1 ? v1("h", parts) : v2("h", parts));
      expect(reply).toMatchObject({ status: 204, text: "" });
      expect(writtenCounts(reply)).toEqual(version === 2 ? [0, 2, 1] : [undefined, undefined, undefined]);
      const stored = ledger(h.storages[0]!)[H]!;
      expect(stored.histograms.map(({ timeMs, histogram }) => [timeMs, histogram?.count])).toEqual([
        [T, 3],
        [T + 1, undefined],
      ]);
      expect(stored.histograms[0]!.histogram!.layout.positive).toEqual(Int32Array.of(1, 2));
      expect(stored.exemplars).toEqual([{ labels: ["trace_id", "abc"], value: 0.5, timeMs: T }]);
    },
  );

  test("finer schemas than ours lose resolution", () => {
    const message = histogramMessage({
      ...GOOD,
      schema: 10,
      positiveSpans: [[1, 6]],
      positive: [1, 2, 3, 4, 5, 6],
      count: 21,
    });
    expect(readHistogram(message)).toMatchObject({
      histogram: { layout: { schema: 8, positive: Int32Array.of(1, 2) }, buckets: Float64Array.of(10, 11) },
    });
  });

  test.each<[string, HistogramFields, string]>([
    ["schema", { ...GOOD, schema: -5 }, "histogram has an invalid schema, which must be between -4 and 8"],
    [
      "span offset",
      {
        ...GOOD,
        positiveSpans: [
          [0, 1],
          [-1, 1],
        ],
      },
      "positive side: span number 2 with offset -1: histogram has a span whose offset is negative",
    ],
    [
      "span length",
      { ...GOOD, positiveSpans: [[0, 3]] },
      "positive side: spans need 3 buckets, have 2 buckets: histogram spans specify different number",
    ],
    [
      "negative bucket",
      { ...GOOD, positive: [1, -2] },
      "positive side: bucket number 2 has observation count of -2: histogram has a bucket",
    ],
    [
      "count",
      { ...GOOD, count: 4 },
      "3 observations found in buckets, but the Count field is 4: histogram's observation count should equal",
    ],
    [
      "count with NaN",
      { ...GOOD, count: 2, sum: Number.NaN },
      "3 observations found in buckets, but the Count field is 2: histogram's observation count should be at least",
    ],
    [
      "bounds of exponential",
      { ...GOOD, bounds: [1] },
      "histogram with exponential schema must not have custom bounds",
    ],
    [
      "descending bounds",
      { ...GOOD, schema: -53, bounds: [2, 1] },
      "custom buckets: previous bound is 2 and current is 1",
    ],
    [
      "infinite bound",
      { ...GOOD, schema: -53, bounds: [1, Number.POSITIVE_INFINITY] },
      "custom buckets: last +Inf bound must not be explicitly defined",
    ],
    [
      "few bounds",
      { ...GOOD, schema: -53, bounds: [1] },
      "custom buckets: only 1 custom bounds defined which is insufficient to cover total span length of 3",
    ],
    [
      "custom zero bucket",
      { ...GOOD, schema: -53, bounds: [1, 2, 3], zeroCount: 1 },
      "custom buckets: must have zero count of 0",
    ],
    [
      "custom negative spans",
      { ...GOOD, schema: -53, bounds: [1, 2, 3], negativeSpans: [[0, 0]] },
      "custom buckets: must not have negative spans",
    ],
    ["float zero bucket", { ...GOOD, isFloat: true, zeroCount: -1 }, "zero bucket has observation count of -1"],
    [
      "float count",
      { ...GOOD, isFloat: true, count: -1 },
      "observation count is -1: histogram's observation count is negative",
    ],
  ])("%s is refused in Prometheus' words, the rest is kept", async (_, bad, text) => {
    const h = await startInsert(makeStorages(1));
    const reply = await h.send(2, v2("h", [field(3, histogramMessage(bad)), field(3, histogramMessage(GOOD))]));
    expect(reply.status).toBe(400);
    expect(reply.text).toContain(`1 native histogram: ${text}`);
    expect(writtenCounts(reply)).toEqual([0, 1, 0]);
    expect(ledger(h.storages[0]!)[H]!.histograms.length).toBe(1);
  });

  test("labels that no series may have refuse them all", async () => {
    const h = await startInsert(makeStorages(1));
    const reply = await h.send(1, field(1, Buffer.concat([label("job", "j"), field(4, histogramMessage(GOOD))])));
    expect(reply.status).toBe(400);
    expect(reply.text).toContain("1 native histogram: there is no metric name (__name__)");
    expect(h.storages[0]!.side).toEqual([]);
  });

  test("what storages refuse is told once, however many have it", async () => {
    const h = await startInsert(makeStorages(2), { replicationFactor: 2 });
    for (const storage of h.storages) {
      storage.rejectSide = () => [{ kind: "histogram", reason: "future", count: 1, text: "out of bounds: too late" }];
    }
    const reply = await h.send(2, v2("h", [field(3, histogramMessage(GOOD))]));
    expect(reply.text).toContain("cannot store 1 native histogram:");
    expect(reply.text).toContain("1 native histogram: out of bounds: too late");
    expect(writtenCounts(reply)).toEqual([0, 0, 0]);
  });

  test.each([1, 2])("what a request has twice counts twice, with %i copies", async (copies) => {
    const h = await startInsert(makeStorages(copies), { replicationFactor: copies });
    const exemplar = Buffer.concat([field(1, Buffer.concat([varint(5), varint(6)])), varintField(3, T)]);
    const twice = [GOOD, GOOD].map((one) => field(3, histogramMessage(one)));
    const body = v2("h", [...twice, ...[1, 2, 3].map(() => field(4, exemplar))]);
    expect(writtenCounts(await h.send(2, body))).toEqual([0, 2, 3]);
    expect(ledger(h.storages[0]!)[H]).toMatchObject({ histograms: [{ timeMs: T }], exemplars: [{ timeMs: T }] });
    h.storages[0]!.rejectSide = () => [{ kind: "histogram", reason: "future", count: 1, text: "too late" }];
    expect(writtenCounts(await h.send(2, body)).slice(2)).toEqual([3]);
    expect(writtenCounts(await h.send(2, body))[1]).toBe(0);
  });

  test("a storage that is away or fails: 503, to come again", async () => {
    const h = await startInsert(makeStorages(1));
    h.storages[0]!.failures.push(new UnavailableError("full disk"));
    const failed = await h.send(2, v2("h", [field(3, histogramMessage(GOOD))]));
    expect([failed.status, writtenCounts(failed), header(failed, "Retry-After")]).toEqual([503, [0, 0, 0], "1"]);
    expect(await h.send(2, v2("h", [field(3, histogramMessage(GOOD))]))).toMatchObject({ status: 204 });
  });

  test("a queue that is full takes no more: 503", async () => {
    const h = await startInsert(makeStorages(1), { limits: { ownerQueueMaxBytes: 300 } });
    h.storages[0]!.hold = true;
    const first = h.send(2, v2("h", [field(3, histogramMessage(GOOD))]));
    await h.clock.advance(0);
    const second = await h.send(
      2,
      v2(
        "other",
        Array.from({ length: 20 }, (_, i) => field(3, histogramMessage({ ...GOOD, timeMs: T + i }))),
      ),
    );
    expect(second.status).toBe(503);
    expect(second.text).toContain("--owner-queue-max");
    h.storages[0]!.release();
    expect((await first).status).toBe(204);
  });
});

describe("exemplars", () => {
  test("labels that are too long or not UTF-8 are refused", async () => {
    const h = await startInsert(makeStorages(1));
    const exemplar = (value: string | Uint8Array): Buffer =>
      field(3, Buffer.concat([label("trace_id", value), double(2, 1), varintField(3, T)]));
    const reply = await h.send(
      1,
      v1("h", [
        field(2, sample(1, T)),
        exemplar("x".repeat(121)),
        exemplar(Uint8Array.of(0xff)),
        exemplar("𝒳".repeat(120)),
      ]),
    );
    expect(reply.text.split("\n")).toEqual([
      expect.stringContaining("cannot store 2 exemplars:"),
      expect.stringContaining("1 exemplar: label length for exemplar exceeds maximum of 128 UTF-8 characters"),
      expect.stringContaining("1 exemplar: exemplar labels that are not UTF-8"),
    ]);
    expect(reply.text).toContain("1 sample, 1 exemplar stored");
  });
});

describe("start times", () => {
  const started = (time: number, start: number): Buffer =>
    field(2, Buffer.concat([double(1, 1), varintField(2, time), varintField(3, start)]));

  test("are told when they change, and again after half an hour", async () => {
    const h = await startInsert(makeStorages(1));
    const times = [0, 60_000, 1_799_999, 1_800_000, 1_860_000];
    for (const after of times) await h.send(2, v2("h", [started(T + after, T - 5)]));
    await h.send(2, v2("h", [started(T + 1_920_000, T + 1_900_000)]));
    expect(ledger(h.storages[0]!)[H]!.starts).toEqual([
      { timeMs: T, startMs: T - 5 },
      { timeMs: T + 1_800_000, startMs: T - 5 },
      { timeMs: T + 1_920_000, startMs: T + 1_900_000 },
    ]);
    // The samples went their own way.
    expect(Object.values(h.storages[0]!.ledger()).flatMap((list) => Object.keys(list)).length).toBeGreaterThan(0);
  });

  test("are told again when they got lost", async () => {
    const h = await startInsert(makeStorages(1));
    await h.send(2, v2("h", [field(2, sample(1, T - 1))]));
    const side = h.storages[0]!.sessions[0]!;
    const append = side.appendSide.bind(side);
    side.appendSide = async () => {
      side.appendSide = append;
      throw new UnavailableError("full disk");
    };
    expect((await h.send(2, v2("h", [started(T, T - 5)]))).status).toBe(503);
    expect((await h.send(2, v2("h", [started(T, T - 5)]))).status).toBe(204);
    expect(ledger(h.storages[0]!)[H]!.starts).toEqual([{ timeMs: T, startMs: T - 5 }]);
  });
});

describe("more than one request may have", () => {
  test.each([1, 2] as const)(
    "version %i: is refused by the name of its limit, and nothing of it is stored",
    async (version) => {
      const h = await startInsert(makeStorages(1), { limits: { writeSideMax: 3 } });
      const [histogramField, exemplarField] = version === 1 ? [4, 3] : [3, 4];
      const items = (exemplars: number) => [
        field(2, sample(1, T)),
        ...[1, 2].map((i) => field(histogramField, histogramMessage({ ...GOOD, timeMs: T + i }))),
        ...Array.from({ length: exemplars }, () => field(exemplarField, Buffer.alloc(0))),
      ];
      const body = (exemplars: number) => (version === 1 ? v1 : v2)("h", items(exemplars));
      const reply = await h.send(version, body(2));
      expect(reply.status).toBe(400);
      expect(reply.text).toContain("got 4 native histograms and exemplars; want at most 3");
      expect(reply.text).toContain("--write-side-max");
      expect([h.storages[0]!.side, h.storages[0]!.batches]).toEqual([[], []]);
      expect((await h.send(version, body(1))).status).toBe(204);
    },
  );

  test("start times that change too often are refused, the samples are stored", async () => {
    const h = await startInsert(makeStorages(1), { limits: { writeSideMax: 3 } });
    const started = (i: number) => field(2, Buffer.concat([sample(1, T + i), varintField(3, T - 100 + i)]));
    const body = (count: number) =>
      v2(
        "h",
        Array.from({ length: count }, (_, i) => started(i)),
      );
    const reply = await h.send(2, body(4));
    expect(reply.status).toBe(400);
    expect(reply.text).toContain("got more than 3 start times that differ; want at most 3");
    expect(reply.text).toContain("--write-side-max");
    expect((await h.send(2, body(3))).status).toBe(204);
    const same = Array.from({ length: 9 }, (_, i) =>
      field(2, Buffer.concat([sample(1, T + i), varintField(3, T - 1)])),
    );
    expect((await h.send(2, v2("g", same))).status).toBe(204);
  });

  test("takes several turns", async () => {
    const h = await startInsert(makeStorages(1));
    // Each look at the clock is a slice.
    let nowMs = 0;
    Object.defineProperty(h.clock, "monotonicMs", { value: () => nowMs++ });
    const times = Array.from({ length: 200 }, (_, i) => T + i);
    const parts = times.map((timeMs) => field(3, histogramMessage({ ...GOOD, timeMs })));
    let turns = 0;
    Object.defineProperty(h.clock, "sleep", { value: async () => void turns++ });
    const reply = await h.send(2, v2("h", parts));
    expect(writtenCounts(reply)).toEqual([0, 200, 0]);
    expect(turns).toBeGreaterThan(20);
    expect(ledger(h.storages[0]!)[H]!.histograms.map(({ timeMs }) => timeMs)).toEqual(times);
    const malformed = field(3, Buffer.of(0x0a, 0x05));
    expect(await h.send(2, v2("h", [...parts, malformed]))).toMatchObject({ status: 400 });
  });
});

test("a request without any of it sends none", async () => {
  const h = await startInsert(makeStorages(1));
  await h.v2([{ labels: labels("up"), samples: [[1, T]] }]);
  expect(h.storages[0]!.side).toEqual([]);
});
