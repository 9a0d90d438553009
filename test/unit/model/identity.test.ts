// test/unit/model/identity.test.ts: series keys, ids, homes and shards against golden vectors and a slow reading of the rules.
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  compareUtf8,
  decodeSeriesKey,
  encodeKeyParts,
  encodeSeriesKey,
  hash64,
  hashMod,
  InvalidError,
  type Labels,
  labelsFromPairs,
  placeSeries,
  SeriesPlacer,
  splitSeriesKey,
  viewSeriesKey,
} from "../../../libs/model/index.ts";
import { sipHash } from "./siphash-twin.ts";

interface Vector {
  readonly tenant: string;
  readonly labels: string[];
  readonly key: string;
  readonly id: string;
  readonly home: string;
  readonly shard: { readonly [shards: string]: number };
}
const golden = JSON.parse(readFileSync(new URL("../../golden/identity.json", import.meta.url), "utf8")) as {
  readonly hashSeed: string;
  readonly vectors: Vector[];
};
const seed = new Uint8Array(Buffer.from(golden.hashSeed, "hex"));
const hash = (bytes: Uint8Array): Uint8Array => sipHash(seed, bytes, 16);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const homeHex = (home: { low: number; high: number }): string =>
  ((BigInt(home.high) << 32n) | BigInt(home.low)).toString(16).padStart(16, "0");

describe("the reference hash gives the paper's vectors", () => {
  const key = Uint8Array.from({ length: 16 }, (_, i) => i);
  test.each<[number, 8 | 16, string]>([
    [0, 8, "310e0edd47db6f72"],
    [15, 8, "e545be4961ca29a1"],
    [0, 16, "a3817f04ba25a8e66df67214c7550293"],
    [1, 16, "da87c1d86b99af44347659119b22fc45"],
  ])("%i bytes, %i bytes of hash", (length, outputBytes, want) => {
    expect(
      hex(
        sipHash(
          key,
          Uint8Array.from({ length }, (_, i) => i),
          outputBytes,
        ),
      ),
    ).toBe(want);
  });
});

describe("golden vectors", () => {
  test.each(golden.vectors.map((v) => [`${v.tenant} ${JSON.stringify(v.labels).slice(0, 90)}`, v] as const))(
    "%s",
    (_, v) => {
      const key = encodeSeriesKey(v.tenant, v.labels);
      expect(hex(key)).toBe(v.key);
      expect(hex(hash(key))).toBe(v.id);
      expect(decodeSeriesKey(key)).toEqual({ tenant: v.tenant, labels: v.labels });
      for (const [shards, shard] of Object.entries(v.shard)) {
        const place = placeSeries(hash, key, Number(shards));
        expect([homeHex(place.home), place.shard], `${shards} shards`).toEqual([v.home, shard]);
      }
    },
  );
});

const text = fc.oneof(
  fc.stringMatching(/^[a-z_]{1,12}$/),
  fc.string({ unit: "binary", minLength: 1, maxLength: 20 }),
  fc.constantFrom(
    "__proto__",
    "constructor",
    "le",
    "job",
    "instance",
    "__name__",
    "\0",
    "\ufeff",
    "\uffff",
    "😀",
    "a".repeat(300),
  ),
);
const labelSet = fc
  .uniqueArray(fc.tuple(text, text), { selector: ([name]) => name, maxLength: 8 })
  .map((pairs) => labelsFromPairs(pairs));

/** Home and shard read off the rules of the protocol, with labels as text and numbers as BigInt. */
function slowPlace(tenant: string, labels: Labels, shards: number): [home: string, shard: number] {
  const map = new Map<string, string>();
  for (let i = 0; i < labels.length; i += 2) map.set(labels[i]!, labels[i + 1]!);
  const h = (pairs: Iterable<[string, string]>): bigint =>
    hash(encodeSeriesKey(tenant, labelsFromPairs(pairs)))
      .subarray(0, 8)
      .reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  const laneOf = new Map(map);
  laneOf.delete("le");
  const name = map.get("__name__");
  if (name !== undefined) laneOf.set("__name__", name.replace(/(_bucket|_sum|_count)$/, ""));
  const lane = h(laneOf);
  const job = map.get("job");
  const instance = map.get("instance");
  const n = BigInt(shards);
  if (!job || !instance) return [lane.toString(16).padStart(16, "0"), Number(lane % n)];
  const home = h([
    ["job", job],
    ["instance", instance],
  ]);
  return [home.toString(16).padStart(16, "0"), Number((home + (lane % 8n)) % n)];
}

describe("properties", () => {
  const options = { seed: 20_240_601, numRuns: 1_500 };

  test("a key decodes to what was encoded, and unlike series have unlike keys", () => {
    fc.assert(
      fc.property(text, labelSet, text, labelSet, (t1, l1, t2, l2) => {
        const a = encodeSeriesKey(t1, l1);
        expect(decodeSeriesKey(a)).toEqual({ tenant: t1, labels: l1 });
        const b = encodeSeriesKey(t2, l2);
        const same = t1 === t2 && JSON.stringify(l1) === JSON.stringify(l2);
        expect(Buffer.compare(a, b) === 0).toBe(same);
      }),
      options,
    );
  });

  test("a key is its parts, each after its length, whatever the parts are and however long", () => {
    const encoder = new TextEncoder();
    const long = fc.tuple(fc.constantFrom("a", "é", "\u2028", "😀"), fc.integer({ min: 100, max: 6_000 }));
    const part = fc.oneof(
      text,
      fc.string({ unit: "binary" }),
      long.map(([unit, count]) => unit.repeat(count)),
    );
    fc.assert(
      fc.property(part, fc.array(part, { maxLength: 8 }), (tenant, labels) => {
        const want = encodeKeyParts([tenant, ...labels].map((one) => encoder.encode(one)));
        expect(hex(encodeSeriesKey(tenant, labels))).toBe(hex(want));
        expect(hex(viewSeriesKey(tenant, labels))).toBe(hex(want));
      }),
      options,
    );
  });

  test("place agrees with the slow reading of the rules", () => {
    fc.assert(
      fc.property(labelSet, fc.integer({ min: 1, max: 65_536 }), (labels, shards) => {
        const place = placeSeries(hash, encodeSeriesKey("t", labels), shards);
        expect([homeHex(place.home), place.shard]).toEqual(slowPlace("t", labels, shards));
      }),
      { ...options, numRuns: 400 },
    );
  });

  test("one placer places many series alike, with their ids or without", () => {
    const few = fc.constantFrom("a", "b", "x".repeat(200), "_bucket", "m_sum", "m_count", "m_bucket_total", "é");
    const names = ["__name__", "Zone", "instance", "job", "le", "zz"];
    const some = fc.uniqueArray(fc.tuple(fc.constantFrom(...names), few), { selector: ([name]) => name });
    const check = (sets: [string, string][][], shards: number): void => {
      const placer = new SeriesPlacer(hash, shards);
      for (const [i, set] of sets.entries()) {
        const labels = labelsFromPairs(set);
        const key = encodeSeriesKey("t", labels);
        const place = placer.place(key, i % 2 === 0 ? hash(key) : undefined);
        expect([homeHex(place.home), place.shard]).toEqual(slowPlace("t", labels, shards));
      }
    };
    fc.assert(fc.property(fc.array(some, { maxLength: 8 }), fc.integer({ min: 1, max: 300 }), check), options);
  });

  test("hashMod agrees with BigInt", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: MAX64 }), fc.integer({ min: 1, max: 65_536 }), (value, divisor) => {
        const halves = { low: Number(value & 0xffff_ffffn), high: Number(value >> 32n) };
        expect(hashMod(halves, divisor)).toBe(Number(value % BigInt(divisor)));
      }),
      { ...options, numRuns: 5_000 },
    );
    expect(hashMod({ low: 0xffff_ffff, high: 0xffff_ffff }, 65_535)).toBe(Number(MAX64 % 65_535n));
  });

  test("decoding any bytes gives their only key or InvalidError", () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 40 }), damagedKey()), (bytes) => {
        let read: { tenant: string; labels: Labels };
        try {
          read = decodeSeriesKey(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidError);
          return;
        }
        expect(hex(encodeSeriesKey(read.tenant, read.labels))).toBe(hex(bytes));
        for (let i = 2; i < read.labels.length; i += 2) {
          expect(compareUtf8(read.labels[i - 2]!, read.labels[i]!)).toBeLessThan(0);
        }
      }),
      { ...options, numRuns: 20_000 },
    );
  });
});

const MAX64 = (1n << 64n) - 1n;

/** A key with one byte changed or its end cut off. */
function damagedKey(): fc.Arbitrary<Uint8Array> {
  return fc.tuple(labelSet, fc.nat(), fc.nat(255), fc.boolean()).map(([labels, at, byte, cut]) => {
    const key = encodeSeriesKey("t", labels);
    if (cut) return key.subarray(0, at % (key.length + 1));
    key[at % key.length] = byte;
    return key;
  });
}

describe("splitSeriesKey refuses", () => {
  test.each<[string, number[]]>([
    ["nothing at all", []],
    ["a tenant and a name", [1, 116, 1, 97]],
    ["a length beyond the end", [1, 116, 5, 97]],
    ["a length that does not end", [1, 116, 0x80]],
    ["a length of six bytes", [0x80, 0x80, 0x80, 0x80, 0x80, 0x00]],
    ["a padded length", [0x81, 0x00, 116]],
  ])("%s", (_, bytes) => {
    expect(() => splitSeriesKey(Uint8Array.from(bytes))).toThrow(InvalidError);
    expect(() => placeSeries(hash, Uint8Array.from(bytes), 8)).toThrow(InvalidError);
  });
});

test("a histogram stays in one shard, a target in few", () => {
  const shards = new Set<number>();
  for (let i = 0; i < 300; i++) {
    const series = (name: string, ...rest: [string, string][]): number =>
      placeSeries(
        hash,
        encodeSeriesKey("t", labelsFromPairs([["__name__", name], ["job", "j"], ["instance", "i"], ...rest])),
        256,
      ).shard;
    const family = `m${i}_seconds`;
    const own = [`${family}_sum`, `${family}_count`].map((name) => series(name));
    for (const le of ["0.1", "1", "+Inf"]) own.push(series(`${family}_bucket`, ["le", le]));
    expect(new Set(own).size).toBe(1);
    shards.add(own[0]!);
  }
  expect(shards.size).toBe(8);
});

test("a shard count that cannot be is refused", () => {
  const key = encodeSeriesKey("t", ["__name__", "a"]);
  for (const shards of [0, -1, 1.5, 65_537, Number.NaN])
    expect(() => placeSeries(hash, key, shards)).toThrow(InvalidError);
});

test("hash64 is the first eight bytes, little-endian", () => {
  const bytes = Uint8Array.from({ length: 16 }, (_, i) => 0xf0 + i);
  expect(hash64(() => bytes, bytes)).toEqual({ low: 0xf3f2f1f0, high: 0xf7f6f5f4 });
});
