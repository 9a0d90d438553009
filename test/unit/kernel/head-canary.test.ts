// test/unit/kernel/head-canary.test.ts: hostile batches and records: lying counts and lengths, cuts, flipped bits. The
// head must refuse what its
// twin refuses, store what its twin stores, and never write outside its regions. Fixed seed; FUZZ_RUNS sets the number
// of batches.
import { expect, test } from "vitest";
import {
  type AppendOutcome,
  encodeSamplesRecord,
  type HeadDictionary,
  HeadKernel,
} from "../../../libs/kernel/index.ts";
import { type TwinDictionary, TwinHead } from "../../../libs/kernel/twin/head.ts";
import { InvalidError } from "../../../libs/model/index.ts";
import { bitsOf, bitsOfColumn, columnsOf, encodeBatch, type Sample } from "./head-batches.ts";
import { Draw } from "./head-programs.ts";
import { plantCanaries } from "./head-regions.ts";

const RUNS = Number(process.env.FUZZ_RUNS ?? 120_000);
const SERIES = 40;
const TIME = 1_700_000_000_000;

class Target {
  readonly kernel = new HeadKernel({ memoryBytes: 4 << 20, batchBytesMax: 1 << 14, readSamplesMax: 512 });
  readonly check = plantCanaries(this.kernel);
  readonly dictionary: HeadDictionary = this.kernel.makeDictionary()!;
  readonly twinDictionary: TwinDictionary = new Map();
  readonly twin = new TwinHead();

  constructor() {
    for (let ref = 0; ref < SERIES; ref++) {
      const series = this.kernel.addSeries(1, ref % 3);
      // References are not in the order of series, and a few are refused.
      const at = (ref * 7) % SERIES;
      this.dictionary.set(at, series);
      this.twinDictionary.set(at, series);
    }
    this.dictionary.refuse(3, "series-limit");
    this.twinDictionary.set(3, "series-limit");
    this.dictionary.refuse(1025, "id-collision");
    this.twinDictionary.set(1025, "id-collision");
  }
}

function makeSamples(draw: Draw): Sample[] {
  const samples: Sample[] = [];
  let ref = draw.below(SERIES);
  let time = TIME + draw.below(50) * 1000;
  for (let n = draw.below(12); n > 0; n--) {
    if (draw.chance(0.3))
      ref = draw.chance(0.03) ? draw.pick([1025, 1_000_000, 2 ** 22, 2 ** 32 - 3]) : draw.below(SERIES);
    if (draw.chance(0.2)) time += draw.below(3000) - 1000;
    samples.push({ ref, time, bits: draw.chance(0.9) ? bitsOf(draw.below(100)) : draw.bits() });
    ref = (ref + 1) % SERIES;
  }
  return samples;
}

/** Cuts, extends, flips bits and lies in the header. */
function spoil(draw: Draw, bytes: Uint8Array, headerWords: number): Uint8Array {
  let out = bytes.slice();
  for (let n = 1 + draw.below(3); n > 0 && out.length > 0; n--) {
    const view = new DataView(out.buffer);
    switch (draw.below(6)) {
      case 0:
        out = out.slice(0, draw.below(out.length + 1));
        break;
      case 1: {
        const longer = new Uint8Array(out.length + draw.below(40));
        longer.set(out);
        out = longer;
        break;
      }
      case 2: {
        const at = draw.below(out.length);
        out[at] = out[at]! ^ (1 << draw.below(8));
        break;
      }
      case 3:
        out[draw.below(out.length)] = draw.pick([0, 0x7f, 0x80, 0xff]);
        break;
      default: {
        const at = draw.below(headerWords) * 4;
        if (at + 4 > out.length) break;
        const old = view.getUint32(at, true);
        const value = draw.pick([old + 1, old - 1, 0, 0xffffffff, 0x80000000, 0x1fffffff, out.length, draw.below(100)]);
        view.setUint32(at, value >>> 0, true);
        // A consistent length lets the lie get further.
        if (draw.chance(0.5) && headerWords === 8 && out.length >= 8) view.setUint32(4, out.length, true);
      }
    }
  }
  return out;
}

/** Runs both and compares refusals and counts; returns what the kernel did, if anything. */
function attempt(run: () => AppendOutcome, twin: () => ReturnType<TwinHead["append"]>): AppendOutcome | undefined {
  let ours: AppendOutcome | undefined;
  let theirs: ReturnType<TwinHead["append"]> | undefined;
  try {
    ours = run();
  } catch (error) {
    if (!(error instanceof InvalidError)) throw error;
  }
  try {
    theirs = twin();
  } catch (error) {
    if (!(error instanceof InvalidError)) throw error;
  }
  if (ours === undefined || theirs === undefined) {
    if (ours !== theirs) throw new Error(`one refuses: head ${ours === undefined}, twin ${theirs === undefined}`);
    return undefined;
  }
  const got = [
    ours.status,
    ours.tooOld,
    ours.future,
    ours.refusedLimit,
    ours.refusedCollision,
    ours.unknownRefs.length,
  ];
  const want = [
    ...[theirs.status, theirs.tooOld, theirs.future, theirs.refusedLimit, theirs.refusedCollision],
    theirs.unknownRefs.length,
  ];
  if (got.join() !== want.join()) throw new Error(`got ${got.join()}; want ${want.join()}`);
  if (ours.status === "stored") {
    const all = ours.stored + ours.duplicates + ours.outvoted + ours.spill.count;
    const expected = theirs.stored.length + theirs.duplicates + theirs.outvoted;
    if (all !== expected) throw new Error(`got ${all} samples dealt with; want ${expected}`);
  }
  return ours;
}

test(`${RUNS} hostile batches and records`, { timeout: 0 }, () => {
  const draw = new Draw(20_261);
  let target = new Target();
  let refused = 0;
  let stored = 0;
  let unknown = 0;
  for (let run = 0; run < RUNS; run++) {
    if (run % 2000 === 1999) {
      target.check();
      for (let series = 0; series < SERIES; series++) target.kernel.readSeries(series, -(2 ** 53), 2 ** 53);
      target.check();
      target = new Target();
    }
    const { kernel, twin, dictionary, twinDictionary } = target;
    const samples = makeSamples(draw);
    const isRecord = draw.chance(0.25);
    const whole = isRecord ? encodeSamplesRecord(columnsOf(samples)) : encodeBatch(samples);
    const bytes = draw.chance(0.2) ? whole : spoil(draw, whole, isRecord ? 3 : 8);
    let outcome: AppendOutcome | undefined;
    try {
      if (isRecord) {
        const known = new Map(Array.from({ length: SERIES }, (_, i) => [i, i]));
        outcome = attempt(
          () => {
            let last: AppendOutcome | undefined;
            kernel.replay(bytes, (part) => {
              last = part;
            });
            return last!;
          },
          () => {
            const result = twin.replay(bytes, known);
            return result;
          },
        );
      } else {
        const [low, high] = [TIME + 2000, TIME + 45_000];
        outcome = attempt(
          () => kernel.append(bytes, dictionary, low, high),
          () => twin.append(bytes, twinDictionary, low, high),
        );
      }
    } catch (cause) {
      throw new Error(`run ${run}: ${cause instanceof Error ? cause.message : cause}`, { cause });
    }
    if (outcome === undefined) refused++;
    else if (outcome.status === "stored") stored += outcome.stored;
    else unknown++;
  }
  target.check();
  expect(refused).toBeGreaterThan(RUNS / 10);
  expect(stored).toBeGreaterThan(RUNS / 10);
  expect(unknown).toBeGreaterThan(RUNS / 1000);
});

test("reads of every range stay within their regions", () => {
  const kernel = new HeadKernel({ memoryBytes: 8 << 20, readSamplesMax: 512 });
  const dictionary = kernel.makeDictionary()!;
  for (let i = 0; i < 6; i++) dictionary.set(i, kernel.addSeries(0, 0));
  const draw = new Draw(5);
  const values = [() => 1, (t: number) => t, (t: number) => t / 100, () => draw.unit(), (t: number) => t % 3];
  for (let t = 0; t < 400; t++) {
    const samples: Sample[] = [];
    for (let ref = 0; ref < 6; ref++) {
      if (ref === 5 && t % 90 < 45) continue;
      if (ref === 4 && draw.chance(0.1)) continue;
      samples.push({ ref, time: TIME + t * 1000, bits: bitsOf((values[ref] ?? values[1]!)(t)) });
    }
    kernel.append(encodeBatch(samples), dictionary, 0, 2 ** 53);
  }
  const check = plantCanaries(kernel);
  for (let series = 0; series < 6; series++) {
    const whole = bitsOfColumn(kernel.readColumn(series, 0, 400));
    for (let from = 0; from <= 400; from += 1 + draw.below(9)) {
      for (let to = from; to <= 400; to += 1 + draw.below(17)) {
        expect(bitsOfColumn(kernel.readColumn(series, from, to))).toEqual(whole.slice(from, to));
      }
    }
    check();
  }
});
