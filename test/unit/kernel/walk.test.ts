// test/unit/kernel/walk.test.ts: the protobuf walk against its twin and against what a message is known to say (reliability notes, M1, M3).
import { describe, expect, test } from "vitest";
import { differ, twinWalk, walkBoth } from "./compare-walks.ts";
import { GuardedKernel, SMALL } from "./guarded-kernel.ts";
import { makeRequests } from "./scrape-requests.ts";
import { Bytes, encodeLabel, encodeLabels, encodeV1, encodeV2 } from "./write-messages.ts";

const guarded = new GuardedKernel({
  ...SMALL,
  series: 4096,
  samples: 8192,
  symbols: 4096,
  inputBytes: 1 << 19,
  labelBytes: 1 << 19,
});
const MS = 1_750_000_000_000;
const UP: [string, string][] = [
  ["__name__", "up"],
  ["job", "node"],
];
const bitsOf = (value: number): bigint => new BigUint64Array(new Float64Array([value]).buffer)[0]!;

/** Walks by kernel and twin, which must agree; the kernel's result. */
function walk(message: Uint8Array, version: 1 | 2) {
  expect(walkBoth(guarded, message, version, 0)).toEqual({ difference: "", accepted: true });
  guarded.check();
  return guarded.walked(version);
}

describe("realistic requests", () => {
  test.each([1, 2] as const)("version %i gives the samples that were encoded", (version) => {
    for (const request of makeRequests({ targets: 4, scrapes: 2, samplesPerRequest: 2000, version })) {
      const walked = walk(request.message, version);
      expect(walked.series.length).toBe(request.samples);
      expect(guarded.word("sampleCount")).toBe(request.samples);
    }
  });

  test("both versions give the same label bytes, times and values", () => {
    const options = { targets: 1, scrapes: 1, samplesPerRequest: 2000 };
    const v1 = walk(makeRequests({ ...options, version: 1 })[0]!.message, 1);
    const v2 = walk(makeRequests({ ...options, version: 2 })[0]!.message, 2);
    const strip = {
      metadata: [],
      symbols: [],
      exemplars: 0,
      histograms: 0,
      starts: 0,
      timeRefused: 0,
      empty: 0,
      refsRefused: 0,
      refsRefusedSamples: 0,
    };
    const plain = (w: typeof v1) => ({ ...strip, series: w.series.map((s) => ({ ...s, family: [0, 0, 0] as const })) });
    expect(differ(plain(v1), plain(v2))).toBe("");
  });
});

describe("samples keep their bits and times", () => {
  const values: [string, bigint][] = [
    ["0", 0n],
    ["-0", 1n << 63n],
    ["a denormal", 1n],
    ["+Inf", 0x7ff0000000000000n],
    ["-Inf", 0xfff0000000000000n],
    ["NaN", 0x7ff8000000000001n],
    ["the stale marker", 0x7ff0000000000002n],
    ["a NaN with a payload", 0xfff4deadbeef0001n],
  ];
  test.each(values)("%s", (_, bits) => {
    const sample = new Bytes()
      .tag(1, 1)
      .raw(new Uint8Array(new BigUint64Array([bits]).buffer))
      .tag(2, 0)
      .varint(MS)
      .take();
    const message = new Bytes().field(1, new Bytes().raw(encodeLabels(UP)).field(2, sample).take()).take();
    expect(walk(message, 1).series[0]).toMatchObject({ times: [MS], bits: [bits] });
  });

  const times: [bigint, number | undefined][] = [
    [0n, 0],
    [-1n, -1],
    [1_750_000_000n, 1_750_000_000],
    [34_359_738_367n, 34_359_738_367],
    [34_359_738_368n, 34_359_738_368],
    [4_398_046_511_103n, 4_398_046_511_103],
    [4_398_046_511_104n, 4_398_046_511_104],
    [2n ** 53n, 2 ** 53],
    [-(2n ** 53n), -(2 ** 53)],
    [2n ** 53n + 1n, undefined],
    [-(2n ** 53n) - 1n, undefined],
    [2n ** 63n - 1n, undefined],
    [-(2n ** 63n), undefined],
  ];
  test.each(times)("time %i is kept, or refused and counted", (time, want) => {
    const good = new Bytes().tag(1, 1).double(1).tag(2, 0).varint(MS).take();
    const sample = new Bytes().tag(1, 1).double(1.5).tag(2, 0).varint(time).take();
    const series = new Bytes().raw(encodeLabels(UP)).field(2, sample).field(2, good).take();
    const walked = walk(new Bytes().field(1, series).take(), 1);
    expect(walked.timeRefused).toBe(want === undefined ? 1 : 0);
    expect(walked.series[0]!.times).toEqual(want === undefined ? [MS] : [want, MS]);
  });

  test("a series of many samples, in any order and repeated", () => {
    const samples: [number, number][] = [
      [MS + 5, 1],
      [MS, 2],
      [MS, 2],
      [MS - 7, 3],
    ];
    const walked = walk(encodeV1([{ labels: UP, samples }]), 1);
    expect(walked.series[0]!.times).toEqual(samples.map(([time]) => time));
    expect(walked.series[0]!.bits).toEqual(samples.map(([, value]) => bitsOf(value)));
  });
});

describe("odd but valid encodings of version 1", () => {
  const sample = new Bytes().tag(1, 1).double(2).tag(2, 0).varint(MS).take();
  const [a, b] = [encodeLabel("__name__", "up"), encodeLabel("job", "node")];
  const joined = new Bytes().field(1, a).field(1, b).take();
  const padded = new Bytes()
    .varint(1 * 8 + 2, 3)
    .varint(a.length, 5)
    .raw(a)
    .take();
  const cases: [string, Uint8Array, Uint8Array][] = [
    ["labels after samples", new Bytes().field(2, sample).field(1, a).field(1, b).take(), joined],
    ["a sample between labels", new Bytes().field(1, a).field(2, sample).field(1, b).take(), joined],
    [
      "an unknown field between labels",
      new Bytes().field(1, a).field(9, "x").field(1, b).field(2, sample).take(),
      joined,
    ],
    ["an unknown field at the end", new Bytes().raw(joined).field(2, sample).tag(15, 0).varint(1).take(), joined],
    ["a group", new Bytes().raw(joined).tag(9, 3).tag(8, 3).tag(8, 4).tag(9, 4).field(2, sample).take(), joined],
    ["lengths and tags of many bytes", new Bytes().raw(padded).field(2, sample).take(), padded],
    [
      "time before value, and an unknown field in the sample",
      new Bytes()
        .raw(joined)
        .field(2, new Bytes().tag(2, 0).varint(MS).tag(4, 5).raw(new Uint8Array(4)).tag(1, 1).double(2).take())
        .take(),
      joined,
    ],
    [
      "fields that come twice: the last one counts",
      new Bytes().raw(joined).field(2, new Bytes().tag(1, 1).double(7).tag(2, 0).varint(3).raw(sample).take()).take(),
      joined,
    ],
  ];
  test.each(cases)("%s", (_, series, labels) => {
    const walked = walk(new Bytes().field(1, series).take(), 1);
    expect(walked.series).toEqual([{ labels, times: [MS], bits: [bitsOf(2)], family: [0, 0, 0] }]);
  });

  test("counts exemplars, histograms, empty series; lists metadata", () => {
    const entry = new Bytes().tag(1, 0).varint(1).field(2, "up").field(4, "help").take();
    const message = new Bytes()
      .field(1, new Bytes().raw(joined).field(2, sample).field(3, "x").field(3, "y").take())
      .field(3, entry)
      .field(1, new Bytes().raw(joined).field(4, "h").take())
      .field(1, new Bytes().raw(joined).take())
      .field(1, "")
      .take();
    expect(walk(message, 1)).toMatchObject({ exemplars: 2, histograms: 1, empty: 2, metadata: [entry] });
    expect(guarded.word("seriesCount")).toBe(1);
  });
});

describe("version 2", () => {
  const sample = new Bytes().tag(1, 1).double(2).tag(2, 0).varint(MS).take();
  const request = (refs: number[], symbols: string[], order: "first" | "last"): Uint8Array => {
    const series = new Bytes()
      .field(1, refs.reduce((out, ref) => out.varint(ref), new Bytes()).take())
      .field(2, sample)
      .take();
    const out = new Bytes();
    if (order === "last") out.field(5, series);
    for (const symbol of symbols) out.field(4, symbol);
    if (order === "first") out.field(5, series);
    return out.take();
  };
  const SYMBOLS = ["", "__name__", "up", "job", "node"];

  test.each(["first", "last"] as const)("symbols %s", (order) => {
    const walked = walk(request([1, 2, 3, 4], SYMBOLS, order), 2);
    expect(walked.series[0]!.labels).toEqual(encodeLabels(UP));
  });

  test.each([
    ["a reference to no symbol", [1, 2, 3, 5]],
    ["a reference of 32 bits", [1, 2 ** 32 - 1]],
    ["a reference beyond 32 bits that is 1 in the lower ones", [2 ** 32 + 1, 2]],
    ["an odd number of references", [1, 2, 3]],
  ])("%s refuses that series alone", (_, refs) => {
    const bad = new Bytes()
      .field(1, refs.reduce((out, ref) => out.varint(ref), new Bytes()).take())
      .field(2, sample)
      .field(2, sample)
      .take();
    const message = new Bytes()
      .raw(request([1, 2, 3, 4], SYMBOLS, "first"))
      .field(5, bad)
      .take();
    expect(walk(message, 2)).toMatchObject({
      refsRefused: 1,
      refsRefusedSamples: 2,
      series: [{ labels: encodeLabels(UP) }],
    });
  });

  test("reads families and long labels, ignores start timestamps", () => {
    const labels: [string, string][] = [
      ["__name__", "n".repeat(140)],
      ["v", "w".repeat(20_000)],
    ];
    const message = encodeV2([{ labels, samples: [[MS, 1]] }]);
    expect(walk(message, 2).series[0]!.labels).toEqual(encodeLabels(labels));
    const started = new Bytes()
      .raw(sample)
      .tag(3, 0)
      .varint(MS - 1)
      .take();
    const series = new Bytes().field(1, Uint8Array.of(1, 2)).field(2, started).take();
    const family = new Bytes().tag(1, 0).varint(2).tag(3, 0).varint(4).tag(4, 0).varint(0).take();
    const other = new Bytes()
      .field(4, "")
      .field(4, "__name__")
      .field(4, "up")
      .field(5, new Bytes().raw(series).field(5, family).take());
    expect(walk(other.take(), 2).series[0]).toMatchObject({ family: [2, 4, 0], times: [MS] });
  });
});

describe("malformed messages", () => {
  const inSeries = (fields: Bytes): Uint8Array => new Bytes().field(1, fields.take()).take();
  const cases: [string, Uint8Array, number, number][] = [
    ["a length of 2^32 − 1", Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f), -16, 0],
    ["a length of 2^64 − 1", Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), -16, 0],
    ["a length one too long", Uint8Array.of(0x0a, 0x01), -16, 0],
    ["a varint of eleven bytes", Uint8Array.of(0x28, ...new Array(10).fill(0x80), 1), -17, 0],
    ["a varint of 65 bits", Uint8Array.of(0x28, ...new Array(9).fill(0xff), 2), -17, 0],
    ["a series that is no message", new Bytes().tag(1, 0).varint(7).take(), -18, 0],
    ["labels that are no message", inSeries(new Bytes().tag(1, 1).double(1)), -18, 2],
    ["a value that is a varint", inSeries(new Bytes().field(2, new Bytes().tag(1, 0).varint(1).take())), -18, 4],
    ["a time that is a double", inSeries(new Bytes().field(2, new Bytes().tag(2, 1).double(1).take())), -18, 4],
    ["a label's name that is a number", inSeries(new Bytes().field(1, new Bytes().tag(1, 0).varint(1).take())), -18, 4],
    ["wire type 6", Uint8Array.of(0x2e), -18, 0],
    ["field number 0", Uint8Array.of(0x02, 0x00), -19, 0],
    ["a field number beyond 2^29", Uint8Array.of(0x82, 0x80, 0x80, 0x80, 0x10, 0x00), -19, 0],
    ["the end of no group", Uint8Array.of(0x4c), -20, 0],
    ["a group that does not end", Uint8Array.of(0x4b), -16, 0],
    ["10,000 groups in each other", new Uint8Array(10_000).fill(0x4b), -16, 0],
  ];
  test.each(cases)("%s", (_, message, code, offset) => {
    expect(guarded.walk(message, 1, 0, new Uint8Array(128))).toBe(code);
    expect(guarded.word("offset")).toBe(offset);
    expect(walkBoth(guarded, message, 1, 0, new Uint8Array(128)).difference).toBe("");
    guarded.check();
  });

  test("a message cut at every byte, with the rest behind it, is refused or ends between two fields", () => {
    for (const version of [1, 2] as const) {
      const whole = makeRequests({ targets: 1, scrapes: 1, samplesPerRequest: 8, version })[0]!.message.slice(0, 1200);
      for (let cut = 0; cut < whole.length; cut++) {
        const { difference } = walkBoth(guarded, whole.slice(0, cut), version, 0, whole.subarray(cut));
        expect(`cut ${cut}: ${difference}`).toBe(`cut ${cut}: `);
      }
    }
    guarded.check();
  });

  test("the same where every series is known and expected", () => {
    const known = new GuardedKernel({ ...SMALL, symbols: 4096 });
    // Values of 0 are left out of a message: both lengths of a sample are cut.
    const rows = [0, 1, 0, 2.5].map((value, i) => ({
      labels: [...UP, ["z", `${i}`.repeat(i * 40)] as [string, string]],
      samples: [[MS, value]] as [number, number][],
    }));
    for (const version of [1, 2] as const) {
      const whole = version === 1 ? encodeV1(rows) : encodeV2(rows);
      expect(known.walk(whole, version)).toBe(0);
      known.resolve();
      for (const row of known.unresolved()) expect(known.remember(row, 0, row + 1)).toBeGreaterThan(0);
      for (let cut = 0; cut <= whole.length; cut++) {
        const { difference } = walkBoth(known, whole.slice(0, cut), version, 0, whole.subarray(cut));
        expect(`cut ${cut}: ${difference}`).toBe(`cut ${cut}: `);
      }
      expect(known.word("unresolvedCount")).toBe(0);
    }
    known.check();
  });

  test("columns that are full refuse the request", () => {
    const tight = new GuardedKernel({ ...SMALL, series: 4, samples: 6, labelBytes: 400, symbols: 12, metadata: 2 });
    const row = (n: number, k: number) =>
      Array.from({ length: n }, (_, i) => ({
        labels: [["__name__", `m${i}`]] as [string, string][],
        samples: new Array(k).fill([MS, 1]) as [number, number][],
      }));
    const metadata = (n: number) =>
      Array.from({ length: n })
        .reduce((out: Bytes) => out.field(3, "m"), new Bytes())
        .take();
    const long = [
      { labels: [["__name__", "x".repeat(396)]] as [string, string][], samples: [[MS, 1]] as [number, number][] },
    ];
    // Label fields of 40 bytes with a sample between them, and many short labels: 400 bytes of gathered labels are 10.
    const label = encodeLabel("__name__", "x".repeat(26));
    const sample = new Bytes().tag(2, 0).varint(MS).take();
    const scattered = (n: number) => {
      const body = new Bytes().field(2, sample);
      for (let i = 0; i < n; i++) body.field(1, label).field(9, "");
      return new Bytes().field(1, body.take()).take();
    };
    const short = (n: number) =>
      encodeV2([{ labels: new Array(n).fill(["__name__", "x".repeat(26)]) as [string, string][], samples: [[MS, 1]] }]);
    const messages: [Uint8Array, 1 | 2, number][] = [
      [scattered(10), 1, 0],
      [scattered(11), 1, -35],
      [scattered(40), 1, -35],
      [short(9), 2, 0],
      [short(11), 2, -35],
      [short(40), 2, -35],
      [encodeV1(row(4, 1)), 1, 0],
      [encodeV1(row(5, 1)), 1, -32],
      [encodeV1(row(3, 2)), 1, 0],
      [encodeV1(row(1, 7)), 1, -33],
      [encodeV2(row(4, 1)), 2, 0],
      [encodeV2(row(5, 1)), 2, -32],
      [encodeV2(row(1, 7)), 2, -33],
      [encodeV2(row(9, 1)), 2, -34],
      [encodeV2(long), 2, -35],
      [metadata(2), 1, 0],
      [metadata(3), 1, -36],
    ];
    for (const [message, version, code] of [...messages, ...messages]) {
      expect(tight.walk(message, version)).toBe(code);
      // In the second round every series is known, and comes as expected.
      if (code === 0) for (const row of tight.unresolved()) tight.remember(row, 0, row + 1);
      const twin = twinWalk(message, version, tight.sizes);
      expect("code" in twin ? twin.code : 0).toBe(code);
      tight.check();
    }
  });

  test.each([
    ["rows", { series: 4, samples: 16 }, -32],
    ["samples", { series: 16, samples: 4 }, -33],
  ])("full %s refuse a request of expected series, too", (_, caps, code) => {
    const tight = new GuardedKernel({ ...SMALL, ...caps });
    const rows = Array.from({ length: 5 }, (_, i) => ({
      labels: [["__name__", `m${i}`]] as [string, string][],
      samples: [[MS, 1]] as [number, number][],
    }));
    // Two requests that fit teach the kernel all five series and their order.
    for (let round = 0; round < 3; round++) {
      for (const some of [rows.slice(0, 4), rows.slice(3), rows.slice(1)]) {
        expect(tight.walk(encodeV1(some), 1)).toBe(0);
        tight.resolve();
        for (const row of tight.unresolved()) tight.remember(row, 0, 1);
      }
    }
    expect(tight.word("unresolvedCount")).toBe(0);
    expect(tight.walk(encodeV1(rows), 1)).toBe(code);
    tight.check();
  });
});
