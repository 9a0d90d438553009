// test/unit/insert/canonical.test.ts: label bytes → series key, against the model's own reading of the same labels.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeSeriesKey, InvalidError, labelsFromPairs, labelValue } from "../../../libs/model/index.ts";
import { canonicalKey, readLabelPairs, showLabels } from "../../../services/insert/canonical.ts";
import { DEFAULT_INSERT_LIMITS } from "../../../services/insert/limits.ts";
import { FieldReader } from "../../../services/insert/wire.ts";
import { field, label, varint, varintField } from "./remote-write.ts";

const tenant = Buffer.from("t");
const name = fc.oneof(
  fc.constantFrom("__name__", "a", "b", "__proto__", "constructor", "😀", "\uffff", ""),
  fc.string({ unit: "binary", maxLength: 5 }),
);
const value = fc.oneof(fc.constantFrom("", "1"), fc.string({ unit: "binary", maxLength: 200 }));

describe("canonicalKey", () => {
  test("accepts what the model accepts with a metric name, and gives the model's key", () => {
    let accepted = 0;
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 5 }), fc.boolean(), (drawn, named) => {
        const labels: [string, string][] = named ? [...drawn, ["__name__", "x"]] : drawn;
        const pairs = readLabelPairs(Buffer.concat(labels.map(([n, v]) => label(n, v))));
        const key = canonicalKey(tenant, pairs, DEFAULT_INSERT_LIMITS);
        let want: Uint8Array | undefined;
        try {
          const model = labelsFromPairs(labels);
          if (labelValue(model, "__name__") !== "") want = encodeSeriesKey("t", model);
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidError);
        }
        if (want === undefined) {
          expect(key).not.toBeInstanceOf(Uint8Array);
          return;
        }
        accepted++;
        expect(Buffer.from(key as Uint8Array).toString("hex")).toBe(Buffer.from(want).toString("hex"));
      }),
      { seed: 20_240_701, numRuns: 10_000 },
    );
    expect(accepted).toBeGreaterThan(1_000);
  });

  test("any bytes are UTF-8 for the key exactly when TextDecoder thinks so", () => {
    const decoder = new TextDecoder("utf-8", { fatal: true });
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 6 });
    const utf8ish = fc.array(
      fc.constantFrom(0x41, 0x80, 0xbf, 0xc0, 0xc3, 0xe0, 0xed, 0xa0, 0xef, 0xf0, 0x90, 0xf4, 0xff),
      { minLength: 1, maxLength: 5 },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          bytes,
          utf8ish.map((a) => Uint8Array.from(a)),
        ),
        (text) => {
          let isText = true;
          try {
            decoder.decode(text);
          } catch {
            isText = false;
          }
          const key = canonicalKey(tenant, [Buffer.from("__name__"), text], DEFAULT_INSERT_LIMITS);
          expect(key instanceof Uint8Array).toBe(isText);
        },
      ),
      { seed: 20_240_702, numRuns: 20_000 },
    );
  });

  test("1000 labels, and names that differ in their last byte", () => {
    const many = Array.from({ length: 1_000 }, (_, i) => [Buffer.from(`l${i}`), Buffer.from("v")]).flat();
    const pairs = [Buffer.from("__name__"), Buffer.from("x"), ...many];
    expect(canonicalKey(tenant, pairs, DEFAULT_INSERT_LIMITS)).toMatchObject({ fault: "label-limit" });
    const key = canonicalKey(tenant, pairs, { ...DEFAULT_INSERT_LIMITS, labelsMax: 1_001 });
    expect(key).toBeInstanceOf(Uint8Array);
  });
});

describe("showLabels", () => {
  test.each<[[string, string][], string]>([
    [[], "{}"],
    [
      [
        ["__name__", "up"],
        ["a", 'q"\\\n'],
      ],
      '{__name__="up", a="q\\"\\\\\\n"}',
    ],
    [
      [
        ["a b", "1"],
        ["ü", "2"],
      ],
      '{"a b"="1", "ü"="2"}',
    ],
    [[["a", "x".repeat(65)]], `{a="${"x".repeat(64)}"…}`],
  ])("%j", (labels, want) => {
    expect(showLabels(labels.flat().map((text) => Buffer.from(text)))).toBe(want);
  });

  test("is one line of bounded length for anything", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 40 }), (parts) => {
        const shown = showLabels(parts.length % 2 === 0 ? parts : parts.slice(1));
        expect(shown).not.toContain("\n");
        expect(shown.length).toBeLessThan(1_000);
      }),
      { seed: 20_240_703, numRuns: 2_000 },
    );
  });
});

describe("FieldReader", () => {
  const read = (bytes: Uint8Array): [number, string | number][] => {
    const out: [number, string | number][] = [];
    const reader = new FieldReader(bytes);
    while (reader.next())
      out.push([reader.field, reader.isBytes ? Buffer.from(reader.bytes).toString() : reader.number]);
    return out;
  };
  const group = (number: number, ...inside: Buffer[]): Buffer =>
    Buffer.concat([varint((number << 3) | 3), ...inside, varint((number << 3) | 4)]);

  test("fields of every wire type, groups within groups, padded varints", () => {
    const bytes = Buffer.concat([
      varintField(1, 300),
      field(2, "text"),
      Buffer.concat([varint((3 << 3) | 1), Buffer.alloc(8)]),
      Buffer.concat([varint((4 << 3) | 5), Buffer.alloc(4)]),
      group(5, group(6, varintField(7, 1)), field(8, "inside")),
      Buffer.from([(9 << 3) | 2, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x68, 0x69]),
      varintField(10, 2n ** 64n - 1n),
    ]);
    expect(read(bytes).filter(([number]) => ![3, 4, 5].includes(number))).toEqual([
      [1, 300],
      [2, "text"],
      [9, "hi"],
      [10, 0xffff_ffff],
    ]);
  });

  test.each<[string, number[]]>([
    ["field number 0", [0x00, 0x01]],
    ["a tag beyond 32 bits", [0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x00]],
    ["wire type 6", [0x0e]],
    ["wire type 7", [0x0f]],
    ["the end of a group that never began", [0x0c]],
    ["a group that never ends", [0x0b, 0x08, 0x01]],
    ["a varint that does not end", [0x08, 0xff]],
    ["a varint of eleven bytes", [0x08, ...Array(10).fill(0x80), 0x01]],
    ["a length beyond the end", [0x12, 0x05, 0x61]],
    ["a length of 2^32 + 1", [0x12, 0x81, 0x80, 0x80, 0x80, 0x10, 0x61]],
    ["a double cut short", [0x09, 1, 2, 3]],
    ["a float cut short", [0x0d, 1, 2, 3]],
  ])("%s is malformed", (_, bytes) => {
    expect(() => read(Uint8Array.from(bytes))).toThrow(InvalidError);
  });

  test("groups 100,000 deep cost no stack", () => {
    const deep = Buffer.concat([Buffer.alloc(100_000, 0x0b), Buffer.alloc(100_000, 0x0c)]);
    expect(read(deep)).toHaveLength(1);
    expect(() => read(deep.subarray(0, -1))).toThrow(InvalidError);
  });

  test("any bytes: fields or InvalidError, in time linear in their number", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          for (const [number] of read(bytes)) expect(number).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidError);
        }
      }),
      { seed: 20_240_704, numRuns: 20_000 },
    );
  });
});
