// test/unit/kernel/snappy.test.ts: the snappy decoder against npm's snappy and against its twin, with hostile blocks (reliability notes, M2).
import { compressSync, uncompressSync } from "snappy";
import { describe, expect, test } from "vitest";
import { snappyDeclaredLength, snappyDecode } from "../../../libs/kernel/twin/snappy.ts";
import { GuardedKernel, SMALL } from "./guarded-kernel.ts";
import { makeRequests, seeded } from "./scrape-requests.ts";

const guarded = new GuardedKernel({ ...SMALL, inputBytes: 1 << 20, outputBytes: 1 << 20 });
const text = (s: string): number[] => [...new TextEncoder().encode(s)];

const sameBytes = (a: Uint8Array | number, b: Uint8Array): boolean =>
  typeof a !== "number" && Buffer.compare(a, b) === 0;

describe("decodes what npm's snappy encodes", () => {
  test("remote write requests", () => {
    for (const version of [1, 2] as const) {
      for (const request of makeRequests({ targets: 3, scrapes: 2, samplesPerRequest: 2000, version })) {
        const got = guarded.snappyDecode(request.body, request.message.length);
        expect(sameBytes(got, request.message)).toBe(true);
        expect(guarded.snappyDeclaredLength(request.body)).toBe(request.message.length);
      }
    }
    guarded.check();
  });

  const random = seeded(3);
  const noise = Uint8Array.from({ length: 200_000 }, () => Math.floor(random() * 256));
  test.each([
    ["nothing", new Uint8Array(0)],
    ["one byte", Uint8Array.of(7)],
    ["noise: literals of three length bytes", noise],
    ["zeros: overlapping copies", new Uint8Array(300_000)],
    ["a period of 3", Uint8Array.from({ length: 70_001 }, (_, i) => i % 3)],
    ["a period of 15", Uint8Array.from({ length: 999 }, (_, i) => i % 15)],
    ["a period of 17", Uint8Array.from({ length: 999 }, (_, i) => i % 17)],
    ["noise twice: copies from far", Uint8Array.of(...noise.subarray(0, 60_000), ...noise.subarray(0, 60_000))],
  ])("%s", (_, plain) => {
    expect(sameBytes(guarded.snappyDecode(compressSync(plain), plain.length), plain)).toBe(true);
    guarded.check();
  });
});

describe("refuses hostile blocks", () => {
  const cases: [string, number[], number][] = [
    ["no bytes at all", [], -1],
    ["a length that does not end", [0x80, 0x80], -1],
    ["a length of six bytes", [0x80, 0x80, 0x80, 0x80, 0x80, 0x01], -1],
    ["a length beyond 32 bits", [0xff, 0xff, 0xff, 0xff, 0x1f], -1],
    ["4 GiB declared in a block of ten bytes", [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1, 0, 1, 0], -2],
    ["more declared than allowed", [0xe9, 0x07, 0x00, 0x61], -2],
    ["a literal cut short", [4, 3 << 2, 1, 2], -3],
    ["a long literal without its length", [4, 61 << 2, 1], -3],
    ["a literal of 4 GiB", [4, 63 << 2, 0xff, 0xff, 0xff, 0xff, 1], -3],
    ["a copy without its offset", [8, 0, 1, 0x05], -3],
    ["a far copy without its offset", [8, 0, 1, 0x03, 1, 0, 0], -3],
    ["more than declared, by a literal", [1, 1 << 2, 1, 2], -4],
    ["more than declared, by a copy", [2, 0, 9, 0x05, 1], -4],
    ["a copy from offset 0", [8, 0, 9, 0x05, 0], -5],
    ["a copy from before the beginning", [8, 0, 9, 0x05, 2], -5],
    ["a copy as the first thing", [8, 0x02, 1, 0], -5],
    ["a far copy from 4 GiB back", [8, 0, 9, 0x03, 0xff, 0xff, 0xff, 0xff], -5],
    ["less than declared", [3, 1 << 2, 1, 2], -6],
    ["nothing of what is declared", [3], -6],
    ["the framing format", [0xff, 0x06, 0x00, 0x00, ...text("sNaPpY")], -5],
    ["gzip", [0x1f, 0x8b, 0x08, 0x00, 0, 0, 0, 0, 0, 3], -5],
  ];
  test.each(cases)("%s", (_, bytes, code) => {
    const block = Uint8Array.from(bytes);
    // Behind the block lie bytes that would complete it.
    expect(guarded.snappyDecode(block, 1000, new Uint8Array(128).fill(1))).toBe(code);
    expect(snappyDecode(block, 1000)).toBe(code);
    guarded.check();
  });
});

test("kernel, twin and npm agree on every cut and every flipped bit of a block", () => {
  const plain = makeRequests({ targets: 1, scrapes: 1, samplesPerRequest: 6, version: 1 })[0]!.message;
  const whole = compressSync(plain);
  const blocks: Uint8Array[] = [];
  for (let cut = 0; cut <= whole.length; cut++) blocks.push(whole.slice(0, cut));
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const flipped = Uint8Array.from(whole);
    flipped[bit >> 3] = flipped[bit >> 3]! ^ (1 << (bit & 7));
    blocks.push(flipped);
  }
  for (const block of blocks) {
    const cap = Math.min(Math.max(0, snappyDeclaredLength(block)), 100_000);
    const got = guarded.snappyDecode(block, cap, whole.subarray(block.length));
    const twin = snappyDecode(block, cap);
    const plainOf = (result: Uint8Array | number): string =>
      typeof result === "number" ? String(result) : Buffer.from(result).toString("latin1");
    if (plainOf(got) !== plainOf(twin))
      throw new Error(`kernel and twin differ on ${Buffer.from(block).toString("hex")}`);
    if (block.length === 0 || cap === 100_000) continue; // npm's decoder takes an empty block for empty data
    let npm = "refused";
    try {
      npm = (uncompressSync(Buffer.from(block)) as Buffer).toString("latin1");
    } catch {}
    if ((typeof got === "number" ? "refused" : plainOf(got)) !== npm) {
      throw new Error(`kernel and npm differ on ${Buffer.from(block).toString("hex")}`);
    }
  }
  guarded.check();
});
