// test/unit/tsdb/head-fuzz.test.ts: the head against its twin (libs/kernel/twin/head.ts) on random histories: what is
// stored, counted,
// recorded and read, bit for bit. Every batch is a case; FUZZ_RUNS sets the number of histories. The seed is fixed.
import { expect, test } from "vitest";
import { HOLE_BITS, STALE_BITS } from "../../../libs/chunk/index.ts";
import { decodeSamplesRecord, type HeadDictionary, READ_HOLES, READ_STALE } from "../../../libs/kernel/index.ts";
import { type TwinAppend, TwinHead } from "../../../libs/kernel/twin/head.ts";
import { Head, type HeadAppend } from "../../../libs/tsdb/head.ts";
import { bitsOfColumn, encodeBatch, type Sample } from "../kernel/head-batches.ts";
import { Draw, makeProgram, type Program } from "../kernel/head-programs.ts";

const RUNS = Number(process.env.FUZZ_RUNS ?? 5000);
/** Every so many histories a long one, which fills chunks. */
const LONG_EVERY = 50;
const LOW = -(2 ** 53);
const HIGH = 2 ** 53;

/** Heads are used for many histories, each with series of its own, because a memory is dear to make. */
class Fixture {
  readonly head = new Head({ memoryBytes: 64 << 20 });
  /** Gets what `head` logged. */
  readonly copy = new Head({ memoryBytes: 64 << 20 });
  readonly dictionary: HeadDictionary = this.head.makeDictionary()!;
  private homes = 0;

  /** Registers a program's series in both heads; returns the first number. */
  register(program: Program): number {
    const first = this.head.seriesCount;
    for (const home of program.homes) {
      const series = this.head.addSeries(this.homes, home);
      expect(this.copy.addSeries(this.homes, home)).toBe(series);
      expect(this.dictionary.set(series, series)).toBe(true);
    }
    this.homes++;
    return first;
  }

  get used(): boolean {
    return this.head.seriesCount > 40_000 || this.head.stats().arenaUsedBytes > 40 << 20;
  }
}

interface Point {
  readonly series: number;
  readonly time: number;
  readonly bits: bigint;
}

function pointsOf(records: readonly Uint8Array[]): Point[] {
  return records.flatMap((record) => {
    const columns = decodeSamplesRecord(record);
    return bitsOfColumn(columns.values).map((bits, i) => ({
      series: columns.series[i]!,
      time: columns.times[i]!,
      bits,
    }));
  });
}

const text = (points: readonly Omit<Point, "series">[]): string =>
  points.map((p) => `${p.time}=${p.bits.toString(16)}`).join(" ");

function expectSame(what: string, got: readonly Omit<Point, "series">[], want: readonly Omit<Point, "series">[]): void {
  let same = got.length === want.length;
  for (let i = 0; same && i < got.length; i++) same = got[i]!.time === want[i]!.time && got[i]!.bits === want[i]!.bits;
  if (!same) throw new Error(`${what}: got ${text(got)}; want ${text(want)}`);
}

const inOrder = (a: Point, b: Point): number =>
  a.series - b.series || a.time - b.time || (a.bits < b.bits ? -1 : a.bits > b.bits ? 1 : 0);

/** Compares what was stored and recorded, and applies the records to the copy. */
function compareAppend(ours: HeadAppend, twin: TwinAppend, copy: Head): void {
  // A value that lost to a late one earlier and comes again is a duplicate to the kernel, outvoted to the twin.
  const want = `stored ${twin.stored.length}, without effect ${twin.duplicates + twin.outvoted}`;
  const got = `stored ${ours.stored}, without effect ${ours.duplicates + ours.outvoted}`;
  if (ours.status !== "stored" || got !== want) throw new Error(`${ours.status}: ${got}; want ${want}`);
  const recorded = pointsOf(ours.records);
  let replayed = 0;
  for (const record of ours.records) for (const part of copy.replay(record.slice())) replayed += part.stored;
  if (replayed !== recorded.length) throw new Error(`replayed ${replayed} of ${recorded.length} samples`);
  // Late samples have a record of their own, behind the others.
  const expected = ours.late > 0 ? [...twin.stored].sort(inOrder) : twin.stored;
  expectSame("records", ours.late > 0 ? recorded.sort(inOrder) : recorded, expected);
}

function compareRead(
  head: Head,
  want: readonly Omit<Point, "series">[],
  series: number,
  low: number,
  high: number,
): void {
  const read = head.readSeries(series, low, high);
  const got = bitsOfColumn(read.values).map((bits, i) => ({ time: read.times[i]!, bits }));
  expectSame(`series ${series} in [${low}, ${high}]`, got, want);
}

/** A series that says it is in step must read the same by its group's column; a clean one must have no gap. */
function compareColumn(
  head: Head,
  want: readonly Omit<Point, "series">[],
  series: number,
  low: number,
  high: number,
): boolean {
  const column = head.timeColumn(head.groupOf(series), low, high);
  if (!head.isInStep(series, column, low, high)) return false;
  const values = head.readColumn(series, column.from, column.to);
  const present: { time: number; bits: bigint }[] = [];
  let gaps = 0;
  bitsOfColumn(values).forEach((bits, i) => {
    if (bits === HOLE_BITS) gaps++;
    else present.push({ time: column.times[i]!, bits });
    if (bits === STALE_BITS) gaps++;
  });
  expectSame(`column of ${series}`, present, want);
  if (gaps > 0 && (head.columnFlags & (READ_HOLES | READ_STALE)) === 0) throw new Error(`column of ${series}: no flag`);
  if (head.isClean(series, column.from, column.to) && gaps > 0)
    throw new Error(`column of ${series}: clean, ${gaps} gaps`);
  return true;
}

function runProgram(fixture: Fixture, program: Program, draw: Draw): number {
  const { head, copy } = fixture;
  const first = fixture.register(program);
  const twin = new TwinHead();
  const dictionary = new Map(program.homes.map((_, i) => [first + i, first + i]));
  const times = [LOW, HIGH];
  for (const batch of program.batches) {
    const samples: Sample[] = batch.map((s) => ({ ...s, ref: s.ref + first }));
    const bytes = encodeBatch(samples);
    compareAppend(head.append(bytes, fixture.dictionary, LOW, HIGH), twin.append(bytes, dictionary, LOW, HIGH), copy);
    if (batch.length > 0 && draw.chance(0.2)) times.push(draw.pick(batch).time);
  }
  let inStep = 0;
  for (let i = 0; i < program.homes.length; i++) {
    const range = [draw.pick(times), draw.pick(times)].sort((a, b) => a - b) as [number, number];
    for (const [low, high] of [[LOW, HIGH], range] as const) {
      const want = twin.read(first + i, low, high);
      compareRead(head, want, first + i, low, high);
      compareRead(copy, want, first + i, low, high);
      if (compareColumn(head, want, first + i, low, high)) inStep++;
    }
  }
  return inStep;
}

test(`${RUNS} random histories agree with the twin`, { timeout: 0 }, () => {
  let fixture = new Fixture();
  let inStep = 0;
  let moves = 0;
  let late = 0;
  let batches = 0;
  for (let run = 0; run < RUNS; run++) {
    if (fixture.used) {
      moves += fixture.head.stats().moves;
      late += fixture.head.stats().lateSamples;
      fixture = new Fixture();
    }
    const draw = new Draw(run * 7919 + 1);
    const program = makeProgram(run * 104_729 + 3, run % LONG_EVERY === 0);
    batches += program.batches.length;
    try {
      inStep += runProgram(fixture, program, draw);
    } catch (cause) {
      throw new Error(`history ${run}: ${cause instanceof Error ? cause.message : cause}`, { cause });
    }
  }
  const stats = fixture.head.stats();
  moves += stats.moves;
  late += stats.lateSamples;
  // The histories must reach what they are for.
  expect(inStep).toBeGreaterThan(RUNS);
  if (RUNS >= 1000) {
    expect(batches).toBeGreaterThan(RUNS * 20);
    expect(moves).toBeGreaterThan(RUNS / 100);
    expect(late).toBeGreaterThan(RUNS / 10);
  }
});
