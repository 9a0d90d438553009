// test/unit/kernel/ingest.test.ts: IngestKernel.decode: what a body gives, and what a bad one is told.
import { compressSync } from "snappy";
import { describe, expect, test } from "vitest";
import { HASH_KEY_BYTES, IngestKernel, siphash128 } from "../../../libs/kernel/index.ts";
import { InvalidError } from "../../../libs/model/index.ts";
import { makeRequests } from "./scrape-requests.ts";
import { Bytes, encodeLabels, encodeV1, encodeV2 } from "./write-messages.ts";

const hashKey = new Uint8Array(HASH_KEY_BYTES).fill(9);
const kernel = new IngestKernel({ hashKey, bodyBytesMax: 1 << 20, decodedBytesMax: 1 << 20, formBytesMax: 1 << 20 });
const MS = 1_750_000_000_000;
const UP: [string, string][] = [
  ["__name__", "up"],
  ["job", "node"],
];
const one = [{ labels: UP, samples: [[1_750_000_000_000, 1]] as [number, number][] }];

describe("a decoded request", () => {
  test("in one piece or many", () => {
    const { body, samples } = makeRequests({ targets: 2, scrapes: 1, samplesPerRequest: 800, version: 1 })[0]!;
    const whole = kernel.decode(body, 1, 1);
    expect([whole.seriesCount, whole.sampleCount, whole.unresolvedCount]).toEqual([samples, samples, samples]);
    const values = whole.values.slice(0, samples);
    const pieces = [body.subarray(0, 7), body.subarray(7, 7), body.subarray(7, 5000), body.subarray(5000)];
    expect(kernel.decode(pieces, 1, 1).values.slice(0, samples)).toEqual(values);
    expect(whole.samplesOf(samples - 1)).toBe(1);
  });

  test("gives label bytes, metadata and symbols as copies", () => {
    const view = kernel.decode(compressSync(encodeV1(one)), 1, 1);
    expect(view.labelBytes(0)).toEqual(encodeLabels(UP));
    const entry = new Bytes().tag(1, 0).varint(1).field(2, "up").take();
    const metadata = kernel.decode(compressSync(new Bytes().field(3, entry).field(3, "").take()), 1, 1);
    expect([metadata.metadataCount, metadata.seriesCount]).toEqual([2, 0]);
    expect([metadata.metadataEntry(0), metadata.metadataEntry(1)]).toEqual([entry, new Uint8Array(0)]);
    const v2 = kernel.decode(compressSync(encodeV2(one)), 2, 1);
    const [type, help, unit] = v2.families.subarray(0, 3);
    expect([type, unit, v2.symbol(v2.symbolCount)]).toEqual([1, 0, undefined]);
    expect(new TextDecoder().decode(v2.symbol(help!))).toBe("help of up");
    expect(v2.symbol(0)).toEqual(new Uint8Array(0));
  });

  test("is empty for an empty message", () => {
    expect(kernel.decode(Uint8Array.of(0), 1, 1).seriesCount).toBe(0);
    expect(kernel.decode(Uint8Array.of(0), 2, 1).seriesCount).toBe(0);
  });
});

describe("series in no order", () => {
  const options = { targets: 3, scrapes: 4, samplesPerRequest: 700, version: 1 } as const;
  const requests = makeRequests({ ...options, shuffled: true });
  const fresh = () => new IngestKernel({ hashKey, formBytesMax: 1 << 22, seriesMax: 10_000 });
  /** Decodes, remembers what is new by the number of forms, and tells every row. */
  const rows = (own: IngestKernel, body: Uint8Array): unknown[] => {
    const view = own.decode(body, 1, 1);
    for (let i = 0; i < view.unresolvedCount; i++) {
      const row = view.unresolved[i]!;
      const sid = own.lookUp(1, row) || own.formCount + 1;
      own.remember(1, row, sid);
      view.setSid(row, sid);
    }
    return Array.from({ length: view.seriesCount }, (_, row) => [
      Buffer.from(view.labelBytes(row)).toString("latin1"),
      view.sid(row),
      [view.firstSample(row), view.times[view.firstSample(row)], view.values[view.firstSample(row)]],
    ]);
  };

  test("guessed labels are those that are read", () => {
    const own = fresh();
    const sids = new Map<unknown, unknown>();
    let guessed = 0;
    for (const { body, samples } of requests) {
      const got = rows(own, body) as [string, number, unknown][];
      expect(got.length).toBe(samples);
      for (const [labels, sid] of got) expect(sids.get(labels) ?? sid).toBe(sid);
      for (const [labels, sid] of got) sids.set(labels, sid);
      guessed += own.view.guessed;
    }
    expect(guessed).toBeGreaterThan(requests.length * 100);
    const inOrder = fresh();
    for (const { body } of makeRequests(options)) rows(inOrder, body);
    for (const { body } of makeRequests(options)) {
      rows(inOrder, body);
      expect(inOrder.view.guessed).toBe(0);
    }
    expect(new Set(sids.values()).size).toBe(sids.size);
  });

  test("what only looks like labels and a sample is walked properly", () => {
    const own = fresh();
    for (const { body } of requests) rows(own, body);
    const labels = (i: number): [string, string][] => [["__name__", `odd${i}`]];
    // Two samples, the second of which is all that a guess sees; an exemplar before the sample; a value that ends like a sample.
    const tail = Buffer.from([0x12, 0x10, 0x09, ...new Array(8).fill(0x41), 0x10, 0x80, 0x81, 0x82, 0x83, 0x84, 0x05]);
    const spoof = new Bytes().field(1, new Bytes().field(1, "a").field(2, tail.toString("latin1")).take()).take();
    const odd = new Bytes()
      .field(
        1,
        Buffer.concat([
          encodeV1([
            {
              labels: labels(1),
              samples: [
                [MS, 1],
                [MS + 1, 2],
              ],
            },
          ]).subarray(2),
        ]),
      )
      .field(1, spoof)
      .take();
    const mixed = Buffer.concat([requests.at(-1)!.message, odd]);
    const view = own.decode(compressSync(mixed), 1, 1);
    const last = view.seriesCount - 1;
    expect(view.samplesOf(last)).toBe(2);
    expect(view.labelBytes(last)).toEqual(encodeLabels(labels(1)));
    expect(view.emptySeries).toBe(1);
    expect([...view.unresolved.subarray(0, view.unresolvedCount)]).toEqual([last]);
  });
});

describe("a bad body", () => {
  const cases: [string, Uint8Array, RegExp][] = [
    ["nothing", new Uint8Array(0), /no valid length/],
    [
      "a bomb",
      Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0),
      /declared length of 4294967295 bytes; want at most 1048576/,
    ],
    ["a bomb that keeps its word", compressSync(new Uint8Array(1 << 21)), /declared length of 2097152/],
    ["a long body", new Uint8Array((1 << 20) + 1), /body of 1048577 bytes; want at most 1048576/],
    ["a cut body", compressSync(encodeV1(one)).subarray(0, 20), /snappy block that ends within/],
    ["a cut message", compressSync(encodeV1(one).subarray(0, 9)), /ends beyond its message; .* \(field at byte 0\)/],
    ["json", new TextEncoder().encode('{"streams": []}'), /cannot decompress/],
  ];
  test.each(cases)("%s", (_, body, message) => {
    kernel.decode(compressSync(encodeV1(one)), 1, 1);
    expect(() => kernel.decode(body, 1, 1)).toThrow(InvalidError);
    expect(() => kernel.decode(body, 1, 1)).toThrow(message);
    expect([kernel.view.seriesCount, kernel.view.sampleCount, kernel.view.unresolvedCount]).toEqual([0, 0, 0]);
  });
});

test("hashes like the twin, also what does not fit its scratch region", () => {
  const key = Uint8Array.from({ length: 16 }, (_, i) => i * 3);
  const hash = kernel.hash128(key);
  for (const length of [0, 1, 17, 300, 1 << 20]) {
    const message = new Uint8Array(length).fill(length & 255);
    if (length < 1000) expect(hash(message)).toEqual(siphash128(key, message));
    else expect(hash(message).length).toBe(16);
  }
});

test("memory beyond 4 GiB and keys of another length are refused", () => {
  expect(() => new IngestKernel({ hashKey, formBytesMax: 4 * 2 ** 30 })).toThrow(/want at most 4 GiB together/);
  expect(() => new IngestKernel({ hashKey, decodedBytesMax: 2 ** 28 })).toThrow(/want at most 134217728/);
  expect(() => new IngestKernel({ hashKey: new Uint8Array(16) })).toThrow(/got 16 bytes/);
});
