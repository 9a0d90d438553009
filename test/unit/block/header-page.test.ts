// test/unit/block/header-page.test.ts: headers of random columns survive a page of either sort; pages of any bytes are refused or read.
import { expect, test } from "vitest";
import { ByteSource } from "../../../libs/block/byte-stream.ts";
import type { ColumnEntry } from "../../../libs/block/column-entry.ts";
import {
  decodeHeaderPage,
  encodeHeaderPage,
  HAS_NANS,
  HAS_STALES,
  HeaderPage,
} from "../../../libs/block/header-page.ts";
import { decodeSeriesPage, encodeSeriesPage } from "../../../libs/block/series-page.ts";
import { COLUMN_CODING_BYTES, COLUMN_FIELD as FIELD } from "../../../libs/kernel/index.ts";
import { CorruptionError, encodeSeriesKey, InvalidError } from "../../../libs/model/index.ts";
import { columnOf, drawColumn } from "../kernel/column-courses.ts";
import { Draw } from "../kernel/head-programs.ts";
import { kernel } from "./block-fixture.ts";

const FIRST = 1000;

function drawEntries(draw: Draw, counts: number[]): ColumnEntry[] {
  return Array.from({ length: 1 + draw.below(40) }, (_, i) => {
    const column = drawColumn(draw, 100);
    const other = columnOf(column.map((bits) => (draw.chance(0.9) ? bits : 0n)));
    const { header, payload, reference } = kernel.encode(columnOf(column), draw.chance(0.3) ? [other] : []);
    // What only the encoder tells is not kept.
    header.bytes.fill(0, FIELD.REFERENCE);
    counts.push(column.length);
    const checksum = payload.length > 0 ? draw.below(2 ** 32) : 0;
    return { header, checksum, times: i, reference: reference < 0 ? -1 : draw.below(FIRST + i) };
  });
}

const sourceOf = (bytes: Uint8Array): ByteSource => new ByteSource(bytes, "page", "/b", 0);

test("every field of every header comes back", () => {
  const draw = new Draw(31);
  for (let run = 0; run < 150; run++) {
    const counts: number[] = [];
    const entries = drawEntries(draw, counts);
    const values = encodeHeaderPage(entries, FIRST, false).slice();
    const times = encodeHeaderPage(entries, FIRST, true).slice();
    for (const read of [
      decodeHeaderPage(sourceOf(values), entries.length, FIRST, "/b", 0, (i) => counts[i]!),
      decodeHeaderPage(sourceOf(times), entries.length, FIRST, "/b", 0),
    ]) {
      entries.forEach((entry, i) => {
        expect({ ...read[i]!, header: [...read[i]!.header.bytes] }).toEqual({
          ...entry,
          offset: entries.slice(0, i).reduce((sum, before) => sum + before.header.payloadBytes, 0),
          header: [...entry.header.bytes],
        });
      });
    }
  }
});

test("an entry is the same whichever was asked for before", () => {
  const draw = new Draw(34);
  for (let run = 0; run < 50; run++) {
    const counts: number[] = [];
    const bytes = encodeHeaderPage(drawEntries(draw, counts), FIRST, false).slice();
    const read = (): HeaderPage =>
      new HeaderPage(
        sourceOf(bytes),
        counts.length,
        FIRST,
        { path: "/b", offset: 0, payloadOffset: 7 },
        (i) => counts[i]!,
      );
    const page = read();
    const all = read().all();
    for (let n = 0; n < 20; n++) {
      const i = draw.below(counts.length);
      expect({ ...page.at(i), header: [...page.at(i).header.bytes] }).toEqual({
        ...all[i]!,
        header: [...all[i]!.header.bytes],
      });
      expect(page.odd[i]! & HAS_STALES).toBe(all[i]!.header.stales > 0 ? HAS_STALES : 0);
      expect(page.odd[i]! & HAS_NANS).toBe(all[i]!.header.nans > 0 ? HAS_NANS : 0);
    }
    expect(page.times).toEqual(Uint32Array.from(counts, (_, i) => i));
  }
});

test("what decoding takes is what the whole entries say, on pages of either sort", () => {
  const draw = new Draw(35);
  for (let run = 0; run < 100; run++) {
    const counts: number[] = [];
    const entries = drawEntries(draw, counts);
    const place = { path: "/b", offset: 0, payloadOffset: 7 };
    for (const hasCounts of [false, true]) {
      const source = sourceOf(encodeHeaderPage(entries, FIRST, hasCounts).slice());
      const page = new HeaderPage(source, counts.length, FIRST, place, hasCounts ? undefined : (i) => counts[i]!);
      let offset = 7;
      const all = draw.chance(0.5) ? page.all() : [];
      entries.forEach(({ header, checksum, reference }, i) => {
        const { codings } = page;
        expect(page.countAt(i)).toBe(counts[i]);
        expect(codings.offsets[i]).toBe(offset);
        expect([codings.payloadBytesAt(i), codings.checksumAt(i)]).toEqual([header.payloadBytes, checksum]);
        expect(codings.referenceAt(i)).toBe(reference);
        const known = codings.headerAt(i).bytes;
        expect([...known.subarray(0, COLUMN_CODING_BYTES)]).toEqual([...header.bytes.subarray(0, COLUMN_CODING_BYTES)]);
        offset += header.payloadBytes;
      });
      for (const [i, { header }] of all.entries()) expect([...header.bytes]).toEqual([...entries[i]!.header.bytes]);
    }
  }
});

/** Some other bytes. */
function spoil(draw: Draw, bytes: Uint8Array): Uint8Array {
  const out = draw.chance(0.3) ? bytes.slice(0, draw.below(bytes.length)) : bytes.slice();
  for (let n = 1 + draw.below(4); n > 0 && out.length > 0; n--) out[draw.below(out.length)] = draw.below(256);
  return out;
}

test("header pages of spoilt bytes are refused or read, nothing else", () => {
  const draw = new Draw(32);
  let refused = 0;
  for (let run = 0; run < 1000; run++) {
    const entries = drawEntries(draw, []);
    const page = spoil(draw, encodeHeaderPage(entries, FIRST, true));
    try {
      expect(decodeHeaderPage(sourceOf(page), entries.length, FIRST, "/b", 0)).toHaveLength(entries.length);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(350);
});

test("series pages: keys of any labels come back; spoilt ones are refused or read, nothing else", () => {
  const draw = new Draw(33);
  let refused = 0;
  for (let run = 0; run < 600; run++) {
    const text = (): string =>
      String.fromCodePoint(...Array.from({ length: 1 + draw.below(5) }, () => 1 + draw.below(900)));
    const keys = Array.from({ length: 1 + draw.below(30) }, () => {
      const names = [...new Set(Array.from({ length: draw.below(6) }, text))].sort((a, b) =>
        Buffer.compare(Buffer.from(a), Buffer.from(b)),
      );
      return encodeSeriesKey(
        draw.pick(["a", "tenant"]),
        names.flatMap((name) => [name, text()]),
      );
    });
    const page = encodeSeriesPage(keys).slice();
    expect(decodeSeriesPage(sourceOf(page), keys.length, "/b", 0)).toEqual(keys);
    try {
      decodeSeriesPage(sourceOf(spoil(draw, page)), keys.length, "/b", 0);
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(150);
  expect(() => encodeSeriesPage([Uint8Array.of(200)])).toThrow(InvalidError);
});
