// test/unit/block/damage.test.ts: damage to a block is found and named, never served: every bit, every length, pages that lie, other versions.
import { crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import { verifyBlock } from "../../../libs/block/index.ts";
import { readWhole, type SimFileSystem } from "../../../libs/env/index.ts";
import { CorruptionError, InvalidError } from "../../../libs/model/index.ts";
import { Draw } from "../kernel/head-programs.ts";
import {
  contentOf,
  drawSeries,
  kernel,
  keyOf,
  newDisk,
  openBlock,
  type TestSeries,
  writeBlock,
} from "./block-fixture.ts";

/** A few series of each kind of column, with references and two columns of times. */
function smallSeries(): TestSeries[] {
  const times = [0, 7].map((off) =>
    Float64Array.from({ length: 40 }, (_, i) => 1000 + i * 100 + (i % 5 === 3 ? off : 0)),
  );
  const draw = new Draw(2);
  const one = (name: string, which: number, value: (i: number) => number): TestSeries => ({
    key: keyOf(name.length % 2 === 0 ? "default" : "other", { __name__: name, instance: "i" }),
    times: times[which]!,
    columns: [Float64Array.from({ length: 40 }, (_, i) => value(i))],
  });
  const noise = Array.from({ length: 40 }, () => draw.below(1000));
  let sum = 0;
  const sums = noise.map((n) => (sum += n));
  return [
    one("constant", 0, () => 4.5),
    one("linear", 0, (i) => i * 3),
    one("coded", 0, (i) => noise[i]!),
    one("counter", 1, (i) => sums[i]!),
    one("countera", 1, (i) => sums[i]! + 5),
    one("raw", 1, () => draw.unit() * 1e-200),
    one("holes", 0, (i) => (i % 9 === 0 ? Number.NaN : noise[i]!)),
  ];
}

function rewrite(fs: SimFileSystem, path: string, bytes: Uint8Array): void {
  if (fs.stat(path) !== undefined) fs.unlink(path);
  const file = fs.open(path, "create");
  file.write(bytes, 0);
  file.close();
}

describe("damage is found", () => {
  const fs = newDisk();
  writeBlock(fs, "/b", smallSeries());
  const whole = readWhole(fs, "/b")!;

  test("a whole block has none", () => {
    expect(verifyBlock(fs, "/b", kernel)).toEqual([]);
  });

  test("every single bit", () => {
    for (let at = 0; at < whole.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        fs.flip("/b", at, 1 << bit);
        const found = verifyBlock(fs, "/b", kernel);
        if (found.length === 0) throw new Error(`bit ${bit} of byte ${at} was flipped and not found`);
        fs.flip("/b", at, 1 << bit);
      }
    }
    expect(verifyBlock(fs, "/b", kernel)).toEqual([]);
  });

  test("every length; longer ones, too", () => {
    for (let length = 0; length < whole.length; length++) {
      rewrite(fs, "/cut", whole.subarray(0, length));
      expect(verifyBlock(fs, "/cut", kernel).length).toBeGreaterThan(0);
    }
    const longer = new Uint8Array(whole.length + 5);
    longer.set(whole);
    rewrite(fs, "/cut", longer);
    expect(verifyBlock(fs, "/cut", kernel).length).toBeGreaterThan(0);
  });

  test("a reader never serves a damaged column, and serves its neighbours", () => {
    const before = contentOf(openBlock(fs, "/b"));
    const column = openBlock(fs, "/b").column(
      openBlock(fs, "/b").find(keyOf("other", { __name__: "coded", instance: "i" })),
    );
    fs.flip("/b", column.offset + 2, 16);
    const reader = openBlock(fs, "/b");
    let served = 0;
    for (let i = 0; i < reader.seriesCount; i++) {
      const mine = reader.column(i);
      const out = new Float64Array(mine.header.count);
      if (mine.offset === column.offset && mine.header.payloadBytes > 0) {
        expect(() => reader.readValues(mine, out)).toThrow(CorruptionError);
      } else {
        reader.readValues(mine, out);
        served++;
      }
    }
    expect(served).toBe(before.length - 1);
    // Read ahead, the damaged column is found all the same.
    reader.prefetch(0, reader.seriesCount);
    const damaged = Array.from({ length: reader.seriesCount }, (_, i) => reader.column(i)).find(
      (mine) => mine.offset === column.offset && mine.header.payloadBytes > 0,
    )!;
    expect(() => reader.readValues(damaged, new Float64Array(damaged.header.count))).toThrow(CorruptionError);
    const damages = verifyBlock(fs, "/b", kernel);
    expect(damages.map((d) => [d.offset, d.series?.count])).toEqual([[column.offset, 1]]);
    expect(damages[0]!.message).toMatch(/got another checksum/);
    fs.flip("/b", column.offset + 2, 16);
  });
});

describe("what is well summed but wrong", () => {
  /** The block with other bytes at a place of its footer or prelude, and the checksum made to fit. */
  function forged(change: (bytes: Uint8Array, footerAt: number) => void): SimFileSystem {
    const fs = newDisk();
    writeBlock(fs, "/b", smallSeries());
    const bytes = readWhole(fs, "/b")!;
    const view = new DataView(bytes.buffer);
    const end = bytes.length - 12;
    const footerAt = end - view.getUint32(end, true);
    change(bytes, footerAt);
    view.setUint32(end + 4, crc32(bytes.subarray(footerAt, end + 4), crc32(bytes.subarray(0, 8))), true);
    rewrite(fs, "/b", bytes);
    return fs;
  }

  test("a later version or feature is not called damage", () => {
    const later = forged((bytes) => {
      bytes[4] = 2;
    });
    expect(() => openBlock(later, "/b")).toThrow(InvalidError);
    expect(() => openBlock(later, "/b")).toThrow(/got version 2; want 1/);
    const feature = forged((bytes, at) => {
      bytes[at] = 1;
    });
    expect(() => openBlock(feature, "/b")).toThrow(/got features 1; want 0/);
  });

  test("footers with any other byte: an error or another answer, never a hang or a crash", () => {
    const draw = new Draw(3);
    let refused = 0;
    for (let run = 0; run < 500; run++) {
      const fs = forged((bytes, at) => {
        const place = at + draw.below(bytes.length - 12 - at);
        bytes[place] = draw.below(256);
      });
      try {
        refused += verifyBlock(fs, "/b", kernel).length > 0 ? 1 : 0;
      } catch (error) {
        expect(error).toBeInstanceOf(CorruptionError);
      }
    }
    // The rest changed what only the maker knows: ids, bounds, positions.
    expect(refused).toBeGreaterThan(230);
  });

  test("bytes that belong to no part: under no checksum, so not allowed", () => {
    const fs = newDisk();
    writeBlock(fs, "/b", smallSeries());
    const bytes = readWhole(fs, "/b")!;
    const end = bytes.length - 12;
    const footerAt = end - new DataView(bytes.buffer).getUint32(end, true);
    rewrite(fs, "/b", Uint8Array.from([...bytes.subarray(0, footerAt), 1, 2, 3, ...bytes.subarray(footerAt)]));
    expect(verifyBlock(fs, "/b", kernel).map((d) => [d.part, d.offset])).toEqual([["layout", footerAt]]);
  });

  test("random blocks verify", () => {
    for (let seed = 20; seed < 30; seed++) {
      const fs = newDisk();
      writeBlock(fs, "/b", drawSeries(new Draw(seed), 8));
      expect(verifyBlock(fs, "/b", kernel)).toEqual([]);
    }
  });
});
