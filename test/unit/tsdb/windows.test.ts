// test/unit/tsdb/windows.test.ts: heads by time: every sample is in the head of its time, whatever ends, freezes and comes late.
import { describe, expect, test } from "vitest";
import { SimClock } from "../../../libs/env/index.ts";
import type { Hash64 } from "../../../libs/model/index.ts";
import type { Head } from "../../../libs/tsdb/head.ts";
import { type FrozenHead, Windows, type WindowsDictionary } from "../../../libs/tsdb/windows.ts";
import { bitsOf, encodeBatch, type Sample } from "../kernel/head-batches.ts";
import { Draw } from "../kernel/head-programs.ts";

const T = 1_700_000_000_000;
const HOUR = 3_600_000;
const MEMORY = 8 << 20;

class Fixture {
  readonly homes: Hash64[] = [];
  readonly clock = new SimClock(T);
  changes = 0;
  readonly windows: Windows;
  readonly dictionary: WindowsDictionary;

  constructor(fromMs = Number.NEGATIVE_INFINITY, memoryBytes = MEMORY) {
    this.windows = new Windows({
      clock: this.clock,
      memoryBytes,
      seriesEnd: () => this.homes.length,
      homeOf: (series) => this.homes[series]!,
      fromMs,
      onChange: () => this.changes++,
    });
    this.dictionary = this.windows.makeDictionary()!;
  }

  /** Registers so many series more; their references are their numbers. */
  register(count: number): void {
    for (let i = 0; i < count; i++) {
      const home = { high: this.homes.length % 3, low: 1 };
      expect(this.windows.addSeries(home.high, home.low)).toBe(this.homes.length);
      this.dictionary.set(this.homes.length, this.homes.length);
      this.homes.push(home);
    }
  }

  append(samples: readonly Sample[], minMs = 0, maxMs = 2 ** 53) {
    return this.windows.append(encodeBatch(samples), this.dictionary, minMs, maxMs);
  }

  /** Lets preparation and zeroing go on. */
  async settle<T>(work: Promise<T>): Promise<T> {
    let done = false;
    const mark = work.finally(() => {
      done = true;
    });
    while (!done) await this.clock.advance(1);
    return mark;
  }
}

const samplesOf = (head: Head, series: number): string[] => {
  const { times, values, count } = head.readSeries(series, 0, 2 ** 53);
  return Array.from({ length: count }, (_, i) => `${times[i]! - T}=${values[i]}`);
};
const at = (ref: number, ms: number, value: number): Sample => ({ ref, time: T + ms, bits: bitsOf(value) });

test("a sample on the boundary belongs to the earlier side", () => {
  const f = new Fixture();
  f.register(2);
  f.append([at(0, 1000, 1)]);
  f.windows.endWindow(T + 2000);
  expect(f.append([at(0, 2000, 2), at(1, 2001, 3)]).stored).toBe(2);
  const [previous, current] = f.windows.heads;
  expect([samplesOf(previous!, 0), samplesOf(current!, 1)]).toEqual([["1000=1", "2000=2"], ["2001=3"]]);
  const frozen = f.windows.freeze();
  expect(frozen.map(({ fromMs, toMs }) => [fromMs, toMs])).toEqual([[Number.NEGATIVE_INFINITY, T + 2000]]);
  const late = f.append([at(0, 1500, 9), at(0, 2500, 4)]);
  expect([late.stored, late.tooOld, late.newestMs]).toEqual([2, 0, T + 2500]);
  expect(f.windows.heads.map((head) => samplesOf(head, 0))).toEqual([["1000=1", "2000=2"], ["1500=9"], ["2500=4"]]);
  // A series that came after the freeze has nothing there.
  f.register(1);
  f.append([at(2, 2600, 1)]);
  expect(f.windows.heads.map((head) => samplesOf(head, 2))).toEqual([[], [], ["2600=1"]]);
  const [old] = f.windows.heads;
  expect(old!.isInStep(2, old!.timeColumn(0, 0, 2 ** 53), 0, 2 ** 53)).toBe(false);
  f.windows.release(frozen);
  expect(f.windows.heads.length).toBe(2);
});

test("bounds hold over all heads, and every count is counted once", () => {
  const f = new Fixture(T);
  f.register(3);
  f.dictionary.refuse(2, "id-collision");
  f.windows.endWindow(T + HOUR);
  const batch = [-HOUR, -5, 0, 5, HOUR, HOUR + 5, 3 * HOUR].flatMap((ms) => [at(0, ms, 1), at(2, ms, 1)]);
  const done = f.append(batch, T - 10, T + 2 * HOUR);
  expect(done).toMatchObject({ stored: 5, tooOld: 2, future: 2, refusedCollision: 5, status: "stored" });
  const again = f.append(batch, T - 10, T + 2 * HOUR);
  expect(again).toMatchObject({ stored: 0, duplicates: 5, tooOld: 2, future: 2 });
});

test("a window before the last must be frozen first; unknown references are told whatever the time", () => {
  const f = new Fixture();
  f.register(1);
  f.windows.endWindow(T);
  expect(() => f.windows.endWindow(T + 1)).toThrow("two windows wait to be cut");
  expect(f.append([at(5, -1, 1), at(6, 1, 1)]).status).toBe("unknown-refs");
  expect(f.windows.hasOlder).toBe(true);
  f.windows.release(f.windows.freeze());
  expect(f.windows.hasOlder).toBe(false);
});

test("a past head is worth a cut once it has taken samples for a while, a whole window at once", async () => {
  const f = new Fixture(T);
  f.register(1);
  expect(f.windows.isWorthCut(0)).toBe(false);
  f.append([at(0, 5, 1)]);
  expect(f.windows.isWorthCut(0)).toBe(false);
  f.append([at(0, -5, 1)]);
  expect([f.windows.isWorthCut(0), f.windows.isWorthCut(HOUR)]).toEqual([true, false]);
  await f.clock.advance(HOUR - 1);
  expect(f.windows.isWorthCut(HOUR)).toBe(false);
  await f.clock.advance(1);
  expect(f.windows.isWorthCut(HOUR)).toBe(true);
  f.windows.release(f.windows.freeze());
  expect(f.windows.isWorthCut(HOUR)).toBe(false);
  // The next one begins anew.
  f.append([at(0, -6, 1)]);
  expect(f.windows.isWorthCut(HOUR)).toBe(false);
  f.windows.endWindow(T + 10);
  expect(f.windows.isWorthCut(HOUR)).toBe(true);
});

test("records are replayed to the head of their time, unless it is in blocks", () => {
  const f = new Fixture(T);
  f.register(1);
  const { records } = new (class extends Fixture {
    constructor() {
      super();
      this.register(1);
    }
  })().append([at(0, -1, 1), at(0, 0, 2), at(0, 1, 3)]);
  expect(f.windows.replay(records[0]!, true)).toBe(T + 1);
  expect(f.windows.heads.map((head) => samplesOf(head, 0))).toEqual([["1=3"]]);
  expect(f.windows.replay(records[0]!, false)).toBe(T + 1);
  expect(f.windows.heads.map((head) => samplesOf(head, 0))).toEqual([["-1=1", "0=2"], ["1=3"]]);
});

describe("random lives of windows", () => {
  test("every sample is there once, in the head of its time; emptied heads serve again", {
    timeout: 120_000,
  }, async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const draw = new Draw(seed);
      const f = new Fixture();
      const { windows } = f;
      f.register(1 + draw.below(50));
      const want = new Map<string, number>();
      const cut = new Map<string, number>();
      let frozen: readonly FrozenHead[] = [];
      let now = 0;
      for (let step = 0; step < 150; step++) {
        now += draw.below(20_000);
        if (draw.chance(0.1)) f.register(draw.below(20));
        if (draw.chance(0.1)) void windows.prepare();
        if (draw.chance(0.2)) await f.clock.advance(1);
        if (!windows.hasPrevious && draw.chance(0.1)) windows.endWindow(T + now);
        if (frozen.length === 0 && windows.hasOlder && draw.chance(0.1)) frozen = windows.freeze();
        if (frozen.length > 0 && draw.chance(0.2)) {
          for (const { head, fromMs, toMs } of frozen) {
            for (let series = 0; series < head.seriesCount; series++) {
              for (const one of samplesOf(head, series)) {
                const time = T + Number(one.split("=")[0]);
                expect(time > fromMs && time <= toMs).toBe(true);
                const [key, value] = [`${series} ${time}`, Number(one.split("=")[1])];
                cut.set(key, Math.max(value, cut.get(key) ?? 0));
              }
            }
          }
          windows.release(frozen);
          for (const { head } of frozen) await f.settle(windows.recycle(head));
          frozen = [];
        }
        const samples: Sample[] = [];
        for (let n = draw.below(60); n > 0; n--) {
          const ms = draw.chance(0.8) ? now : Math.max(0, now - draw.below(200_000));
          samples.push(at(draw.below(f.homes.length), ms, 1 + draw.below(9)));
        }
        if (samples.length === 0) continue;
        const done = f.append(samples);
        expect(done.stored + done.duplicates + done.outvoted).toBe(samples.length);
        for (const { ref, time, bits } of samples) {
          const value = new Float64Array(BigUint64Array.of(bits).buffer)[0]!;
          want.set(`${ref} ${time}`, Math.max(value, want.get(`${ref} ${time}`) ?? 0));
        }
      }
      for (const head of windows.heads) {
        for (let series = 0; series < head.seriesCount; series++) {
          for (const one of samplesOf(head, series)) {
            const key = `${series} ${T + Number(one.split("=")[0])}`;
            cut.set(key, Math.max(Number(one.split("=")[1]), cut.get(key) ?? 0));
          }
        }
      }
      expect(cut).toEqual(want);
    }
  });
});

test("a past head that can't be had: what newer heads took is stored and in the records, the rest is to come again", () => {
  const f = new Fixture(T, 1 << 20);
  f.register(4);
  const known = f.homes.length;
  // A catalogue that no new head could take.
  while (f.homes.length < 5000) f.homes.push({ high: 0, low: 9 });
  const done = f.append([at(0, -5, 1), at(1, 5, 2), at(2, 5, 3)]);
  expect([done.status, done.stored, done.records.length]).toEqual(["full", 2, 1]);
  f.homes.length = known;
  expect(f.append([at(0, -5, 1), at(1, 5, 2)])).toMatchObject({ status: "stored", stored: 1, duplicates: 1 });
});

test("a clock that was set back: later samples are refused, whatever window they are in", () => {
  const f = new Fixture(T);
  f.register(1);
  const done = f.append([at(0, -5000, 1), at(0, -1000, 2), at(0, 1000, 3)], 0, T - 2000);
  expect([done.stored, done.future, done.tooOld]).toEqual([1, 2, 0]);
});

test("a series that one head has no room for is given to none", async () => {
  const f = new Fixture(Number.NEGATIVE_INFINITY, 1 << 20);
  f.register(100);
  f.windows.endWindow(T);
  let more = true;
  while (more) {
    const number = f.windows.addSeries(f.homes.length, 2);
    more = number >= 0;
    if (more) f.homes.push({ high: f.homes.length, low: 2 });
  }
  expect(f.windows.heads.map((head) => head.seriesCount)).toEqual([f.homes.length, f.homes.length]);
});
