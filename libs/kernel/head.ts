// libs/kernel/head.ts: the head's kernel, typed: series numbers, batches, records and columns in; nothing about late
// samples.
// HOT: bench test/bench/head.bench.ts, twin libs/kernel/twin/head.ts. What is in the memory:
// assembly/lib/head-layout.ts.
// One memory of fixed size: pages that were never touched cost no RSS. Views returned by reads are valid until the next
// call.
import { InternalError, InvalidError } from "../model/index.ts";
import {
  CONTROL_WORDS as C,
  CONTROL_AT,
  CONTROL_BYTES,
  G_COUNT,
  G_HOME,
  GROUP_WORDS,
  H_CLEAN_FROM,
  H_GROUP,
  H_NEXT,
  HOT_WORDS,
  LEAVING,
  NONE,
  S_FLAGS,
  S_GROUP_FIRST,
  S_SEALED,
  SERIES_HIDDEN,
  SERIES_LATE,
  SERIES_MOVED,
  SERIES_WORDS,
  CONTROL_TOTALS as T,
} from "./head-layout.ts";
import { createMemory, loadKernel, PAGE_BYTES } from "./load.ts";
import { decodeSamplesRecord, encodeSamplesRecord, type SampleColumns } from "./samples-record.ts";

interface Exports {
  init(memoryBytes: number, batchBytes: number, readSamples: number): number;
  addGroup(homeLow: number, homeHigh: number): number;
  addSeries(group: number): number;
  hasSeriesRoom(): number;
  makeDictionary(): number;
  setReference(directory: number, ref: number, entry: number): number;
  dropDictionary(directory: number): void;
  append(length: number, directory: number, minTime: number, maxTime: number): number;
  replay(length: number, minTime: number, maxTime: number): number;
  readColumn(series: number, from: number, to: number, out: number): number;
  readSeries(series: number, low: number, high: number, times: number, values: number, capacity: number): number;
  timeRange(group: number, low: number, high: number): void;
  groupTimes(group: number, from: number, to: number, out: number): void;
}

/** Smallest head: below it the fixed regions leave no room for samples. */
export const HEAD_MEMORY_MIN_BYTES = 1 << 20;
/** Largest head: the address space of a kernel is 4 GiB, and no address may wrap around. */
export const HEAD_MEMORY_MAX_BYTES = 2 ** 32 - 2 * PAGE_BYTES;

/** Flags of a read. They may also tell of samples just outside the range asked for. */
export const READ_HOLES = 1;
export const READ_STALE = 2;
export const READ_NAN = 4;
const READ_MORE = 8;

const STATUSES = ["stored", "malformed", "unknown-refs", "full"] as const;
const REFUSED_LIMIT = 0xffffffff;
const REFUSED_COLLISION = 0xfffffffe;
const TIME_MAX = 2 ** 53;
/** Pages of a dictionary's directory, and references of a page. */
const DIRECTORY_PAGES = 4096;
const PAGE_REFERENCES = 1024;
const PAGES_PER_STEP = 128;

export interface HeadKernelOptions {
  /**
   * Size of the one memory, rounded down to pages of 64 KiB. It holds one series record and one group record per KiB.
   */
  readonly memoryBytes: number;
  /** Longest batch; by default a 64th of the memory, at most 4 MiB. */
  readonly batchBytesMax?: number;
  /** Samples that one read returns at once; by default 65,536, fewer in a small memory. */
  readonly readSamplesMax?: number;
}

export interface AppendOutcome {
  /** "full": the samples before the one that met a full arena are stored and in the record; the rest is not. */
  readonly status: "stored" | "unknown-refs" | "full";
  /** Samples stored in the head: new ones, and winners over another value that was still open. */
  readonly stored: number;
  readonly duplicates: number;
  /** Samples whose time has a value that wins over theirs. */
  readonly outvoted: number;
  readonly future: number;
  readonly tooOld: number;
  readonly refusedLimit: number;
  readonly refusedCollision: number;
  /** Samples looked at; fewer than the batch holds when full. */
  readonly consumed: number;
  /** Newest time of the samples within the bounds, stored or not; -Infinity without any. */
  readonly newestMs: number;
  /** What was stored, as a samples record; empty when nothing was. A view: valid until the next append or replay. */
  readonly record: Uint8Array;
  /** References that the dictionary does not know, perhaps repeated; a view like the record. */
  readonly unknownRefs: Uint32Array;
  /** Samples for the late store, views likewise. */
  readonly spill: SampleColumns;
}

export interface HeadKernelStats {
  readonly memoryBytes: number;
  readonly seriesCount: number;
  readonly seriesCapacity: number;
  readonly groupCount: number;
  readonly groupCapacity: number;
  /** Samples in the head, holes not counted. */
  readonly samples: number;
  readonly holes: number;
  readonly arenaBytes: number;
  readonly arenaUsedBytes: number;
  readonly sealedBytes: number;
  readonly sealedSamples: number;
  readonly sealedChunks: number;
  readonly timeBytes: number;
  readonly growingBytes: number;
  /** Series that moved to another group because their times were not its own. */
  readonly moves: number;
  /** Series and group records in use. */
  readonly recordBytes: number;
}

/**
 * A connection's references: reference → series number. Lives in the head's memory; drop it when the connection ends.
 */
export class HeadDictionary {
  private readonly kernel: Exports;
  private readonly words: Uint32Array;
  /** Address of the directory; 0 after drop. */
  address: number;

  constructor(kernel: Exports, words: Uint32Array, address: number) {
    this.kernel = kernel;
    this.words = words;
    this.address = address;
  }

  /** Returns false when the reference is 2^22 or more, or there is no memory for it. */
  set(ref: number, series: number): boolean {
    return this.kernel.setReference(this.address, ref, series + 1) !== 0;
  }

  /** The series that a reference stands for; -1 for one that is unknown or refused. */
  seriesOf(ref: number): number {
    const page = this.words[this.address / 4 + Math.floor(ref / PAGE_REFERENCES)] ?? 0;
    if (page === 0 || ref >= DIRECTORY_PAGES * PAGE_REFERENCES) return -1;
    const entry = this.words[page / 4 + (ref % PAGE_REFERENCES)]!;
    return entry === 0 || entry >= REFUSED_COLLISION ? -1 : entry - 1;
  }

  /** Marks a reference whose samples are counted as refused and dropped. */
  refuse(ref: number, reason: "series-limit" | "id-collision"): boolean {
    const entry = reason === "series-limit" ? REFUSED_LIMIT : REFUSED_COLLISION;
    return this.kernel.setReference(this.address, ref, entry) !== 0;
  }

  /** Gives this dictionary all entries of another one, of any head. Returns false when there is no memory for them. */
  copyFrom(other: HeadDictionary): boolean {
    const theirs = other.words;
    const from = other.address / 4;
    for (let page = 0; page < DIRECTORY_PAGES; page++) {
      const at = theirs[from + page]!;
      if (at === 0) continue;
      // Setting any entry makes the page.
      if (this.kernel.setReference(this.address, page * PAGE_REFERENCES, 0) === 0) return false;
      const to = this.words[this.address / 4 + page]! / 4;
      this.words.set(theirs.subarray(at / 4, at / 4 + PAGE_REFERENCES), to);
    }
    return true;
  }

  /** Makes references unknown again whose series has a 1 here, in steps of well under a millisecond. */
  *forgetSeries(gone: Uint8Array): Generator<void> {
    for (let page = 0; page < DIRECTORY_PAGES; page++) {
      if (page % PAGES_PER_STEP === 0) yield;
      // Dropped meanwhile.
      if (this.address === 0) return;
      const at = this.words[this.address / 4 + page]! / 4;
      if (at === 0) continue;
      for (let i = at; i < at + PAGE_REFERENCES; i++) {
        const entry = this.words[i]!;
        if (entry > 0 && entry < REFUSED_COLLISION && gone[entry - 1] === 1) this.words[i] = 0;
      }
    }
  }

  /** Makes a reference unknown again. */
  forget(ref: number): void {
    this.kernel.setReference(this.address, ref, 0);
  }

  drop(): void {
    if (this.address !== 0) this.kernel.dropDictionary(this.address);
    this.address = 0;
  }
}

/** The head's memory and its kernel. Single-threaded: one owner appends and reads. */
export class HeadKernel {
  private readonly kernel: Exports;
  private readonly words: Uint32Array;
  private readonly floats: Float64Array;
  private readonly bytes: Uint8Array;
  private readonly hotBase: number;
  private readonly seriesBase: number;
  private readonly groupBase: number;
  private homes = new Uint32Array(256).fill(NONE);
  private homesUsed = 0;
  readonly memory: WebAssembly.Memory;
  /** Size of the memory. */
  readonly sizeBytes: number;
  readonly batchBytesMax: number;
  readonly readSamplesMax: number;

  /** Errors: InvalidError for a memory outside HEAD_MEMORY_MIN_BYTES … HEAD_MEMORY_MAX_BYTES. */
  constructor(options: HeadKernelOptions) {
    const size = options.memoryBytes - (options.memoryBytes % PAGE_BYTES);
    if (!(size >= HEAD_MEMORY_MIN_BYTES && size <= HEAD_MEMORY_MAX_BYTES)) {
      throw new InvalidError(
        `cannot use head memory: got ${options.memoryBytes} bytes; ` +
          `want ${HEAD_MEMORY_MIN_BYTES} to ${HEAD_MEMORY_MAX_BYTES} (--head-memory)`,
      );
    }
    this.sizeBytes = size;
    this.memory = createMemory(size);
    this.kernel = loadKernel<Exports>("head", this.memory);
    const batchBytes = options.batchBytesMax ?? Math.min(4 << 20, size / 64);
    this.batchBytesMax = batchBytes - (batchBytes % 8);
    this.readSamplesMax = Math.min(65_536, options.readSamplesMax ?? size / 512);
    if (this.kernel.init(size, this.batchBytesMax, this.readSamplesMax) === 0) {
      throw new InvalidError(
        `cannot use head memory: got ${size} bytes with batches of ${this.batchBytesMax}; ` +
          "want room for samples (--head-memory)",
      );
    }
    this.words = new Uint32Array(this.memory.buffer);
    this.floats = new Float64Array(this.memory.buffer);
    this.bytes = new Uint8Array(this.memory.buffer);
    this.hotBase = this.words[C.HOT_BASE]! / 4;
    this.seriesBase = this.words[C.SERIES_BASE]! / 4;
    this.groupBase = this.words[C.GROUP_BASE]! / 4;
  }

  /**
   * Registers a series of a home (the high and low word of its hash) and returns its number, dense from 0. -1 when the
   * head takes no more series: the tables are full, or 95 % of the memory for samples is used.
   */
  addSeries(homeHigh: number, homeLow: number): number {
    const group = this.groupOfHome(homeHigh >>> 0, homeLow >>> 0);
    return group < 0 ? -1 : this.kernel.addSeries(group) | 0;
  }

  /** Gives a series that has no samples here another home. Returns false where there is no room for the home. */
  rehome(series: number, homeHigh: number, homeLow: number): boolean {
    if (series >= this.seriesCount || this.hasSamples(series)) {
      throw new InternalError(
        `cannot rehome series: got number ${series} of ${this.seriesCount}; want one without samples`,
      );
    }
    const group = this.groupOfHome(homeHigh >>> 0, homeLow >>> 0);
    if (group < 0) return false;
    this.words[this.hotBase + series * HOT_WORDS + H_GROUP] = group;
    return true;
  }

  /** Whether addSeries surely takes another series, whatever its home. */
  get hasSeriesRoom(): boolean {
    return this.kernel.hasSeriesRoom() !== 0;
  }

  get seriesCount(): number {
    return this.words[C.SERIES_COUNT]!;
  }

  /** Bytes of memory that hold something: records of series and groups, and the part of the arena that was ever used. */
  get usedBytes(): number {
    const { words } = this;
    const records = words[C.SERIES_COUNT]! * (HOT_WORDS + SERIES_WORDS) + words[C.GROUP_COUNT]! * GROUP_WORDS;
    return records * 4 + words[C.ARENA_NEXT]! - words[C.ARENA_BASE]!;
  }

  /** Address ranges [from, to) that are not zero any more: what must be zeroed before `reset`. */
  get dirtyRanges(): [from: number, to: number][] {
    const { words } = this;
    const series = words[C.SERIES_COUNT]!;
    const records = (base: number, count: number, size: number): [number, number] => [base, base + count * size * 4];
    return [
      records(words[C.HOT_BASE]!, series, HOT_WORDS),
      records(words[C.SERIES_BASE]!, series, SERIES_WORDS),
      records(words[C.GROUP_BASE]!, words[C.GROUP_COUNT]!, GROUP_WORDS),
      [words[C.ARENA_BASE]!, words[C.ARENA_NEXT]!],
    ];
  }

  /** Zeroes part of the memory. */
  zero(from: number, to: number): void {
    this.bytes.fill(0, from, to);
  }

  /** Makes a head of which all dirty ranges were zeroed as empty as a new one. Its dictionaries are gone. */
  reset(): void {
    this.bytes.fill(0, CONTROL_AT, CONTROL_AT + CONTROL_BYTES);
    this.kernel.init(this.sizeBytes, this.batchBytesMax, this.readSamplesMax);
    this.homes = new Uint32Array(256).fill(NONE);
    this.homesUsed = 0;
  }

  /** Groups made so far, numbered from 0. */
  get groupCount(): number {
    return this.words[C.GROUP_COUNT]!;
  }

  /** A dictionary for a connection; undefined when the memory is full. */
  makeDictionary(): HeadDictionary | undefined {
    const address = this.kernel.makeDictionary();
    return address === 0 ? undefined : new HeadDictionary(this.kernel, this.words, address >>> 0);
  }

  /**
   * Appends a batch (FORMAT.md); its registrations must be in the dictionary already. Samples outside [minMs, maxMs]
   * are counted,
   * not stored. Errors: InvalidError for a malformed or too long batch; nothing is stored then.
   */
  append(batch: Uint8Array, dictionary: HeadDictionary, minMs: number, maxMs: number): AppendOutcome {
    if (batch.length > this.batchBytesMax) {
      throw new InvalidError(`cannot append batch: got ${batch.length} bytes; want at most ${this.batchBytesMax}`);
    }
    this.bytes.set(batch, this.words[C.BATCH_BASE]!);
    const low = Math.max(minMs, -TIME_MAX);
    return this.outcome(this.kernel.append(batch.length, dictionary.address, low, Math.min(maxMs, TIME_MAX)), "batch");
  }

  /**
   * Appends the samples of a samples record with times in [minMs, maxMs]; its series must exist; no record out. A record longer
   * than the region (written with more memory) is applied in parts; each outcome comes with its part. Errors: InvalidError for a
   * malformed one.
   */
  replay(
    record: Uint8Array,
    each: (outcome: AppendOutcome, part: Uint8Array) => void,
    minMs = -TIME_MAX,
    maxMs = TIME_MAX,
  ): void {
    if (record.length <= this.words[C.OUT_CAPACITY]! && sampleCount(record) <= this.words[C.SPILL_CAPACITY]!) {
      this.bytes.set(record, this.words[C.OUT_BASE]!);
      const [low, high] = [Math.max(minMs, -TIME_MAX), Math.min(maxMs, TIME_MAX)];
      each(this.outcome(this.kernel.replay(record.length, low, high), "record"), record);
      return;
    }
    const columns = decodeSamplesRecord(record);
    const step = this.words[C.SPILL_CAPACITY]!;
    for (let from = 0; from < columns.count; from += step) {
      this.replay(encodeSamplesRecord(columns, from, Math.min(from + step, columns.count)), each, minMs, maxMs);
    }
  }

  private outcome(code: number, what: string): AppendOutcome {
    const { words } = this;
    const status = STATUSES[code]!;
    if (status === "malformed") {
      throw new InvalidError(
        `cannot append ${what}: got counts and lengths that do not add up; want them as FORMAT.md says`,
      );
    }
    const out = words[C.OUT_BASE]!;
    const spilled = words[C.R_SPILLED]!;
    const { buffer } = this.memory;
    return {
      status,
      stored: words[C.R_STORED]!,
      duplicates: words[C.R_DUPLICATES]!,
      outvoted: words[C.R_OUTVOTED]!,
      future: words[C.R_FUTURE]!,
      tooOld: words[C.R_TOO_OLD]!,
      refusedLimit: words[C.R_REFUSED_LIMIT]!,
      refusedCollision: words[C.R_REFUSED_COLLISION]!,
      consumed: words[C.R_CONSUMED]!,
      newestMs: this.floats[T.R_NEWEST]!,
      record: this.bytes.subarray(out, out + words[C.R_RECORD_BYTES]!),
      unknownRefs: words.subarray(out / 4, out / 4 + words[C.R_UNKNOWN]!),
      spill: {
        series: new Uint32Array(buffer, words[C.SPILL_SERIES]!, spilled),
        times: new Float64Array(buffer, words[C.SPILL_TIMES]!, spilled),
        values: new Float64Array(buffer, words[C.SPILL_VALUES]!, spilled),
        count: spilled,
      },
    };
  }

  /** The group whose column the series appends to now. */
  groupOf(series: number): number {
    return (this.words[this.hotBase + series * HOT_WORDS + H_GROUP]! & ~LEAVING) >>> 0;
  }

  /** Whether the series has any sample, in the late store too. */
  hasSamples(series: number): boolean {
    const at = this.seriesBase + series * SERIES_WORDS;
    const isEmpty = this.words[this.hotBase + series * HOT_WORDS + H_NEXT] === NONE && this.words[at + S_SEALED] === 0;
    return !isEmpty || this.hasLate(series);
  }

  /** Whether the late store may have samples of the series. */
  hasLate(series: number): boolean {
    return (this.words[this.seriesBase + series * SERIES_WORDS + S_FLAGS]! & SERIES_LATE) !== 0;
  }

  /** Notes that the late store has samples of the series. */
  markLate(series: number): void {
    this.words[this.seriesBase + series * SERIES_WORDS + S_FLAGS]! |= SERIES_LATE;
  }

  /** Notes that samples of the series are hidden by a deletion: only newer ones than all of them still go to its chunks. */
  markHidden(series: number): void {
    this.words[this.seriesBase + series * SERIES_WORDS + S_FLAGS]! |= SERIES_HIDDEN;
  }

  /**
   * Whether all of the head's samples of the series at or after the time of ordinal `from` of its present group are in
   * that group, so that
   * readColumn tells all about them.
   */
  isInGroup(series: number, from: number): boolean {
    const at = this.seriesBase + series * SERIES_WORDS;
    return (this.words[at + S_FLAGS]! & SERIES_MOVED) === 0 || this.words[at + S_GROUP_FIRST]! < from;
  }

  /**
   * Whether the series has a sample that is no stale marker at each of the ordinals [from, to) of its present group.
   */
  isClean(series: number, from: number, to: number): boolean {
    const at = this.hotBase + series * HOT_WORDS;
    const next = this.words[at + H_NEXT]!;
    return next !== NONE && next >= to && this.words[at + H_CLEAN_FROM]! <= from;
  }

  /** The ordinals [from, to) of a group with times in [lowMs, highMs]. */
  timeRange(group: number, lowMs: number, highMs: number): { from: number; to: number } {
    this.kernel.timeRange(group, Math.max(lowMs, -TIME_MAX), Math.min(highMs, TIME_MAX));
    return { from: this.words[C.R_FROM]!, to: this.words[C.R_TO]! };
  }

  /** Copies the times of ordinals [from, to) of a group, which must exist, into a new array. */
  groupTimes(group: number, from: number, to: number): Float64Array {
    const times = new Float64Array(to - from);
    const region = this.words[C.READ_TIMES]!;
    for (let at = from; at < to; at += this.readSamplesMax) {
      const end = Math.min(to, at + this.readSamplesMax);
      this.kernel.groupTimes(group, at, end, region);
      times.set(this.floats.subarray(region / 8, region / 8 + end - at), at - from);
    }
    return times;
  }

  /** Number of ordinals of a group. */
  groupLength(group: number): number {
    return this.words[this.groupBase + group * GROUP_WORDS + G_COUNT]!;
  }

  /** READ_* flags of the last readColumn. */
  flags = 0;

  /**
   * The values of ordinals [from, to) of the series' present group, holes (HOLE bits) where it has none. A view of the
   * head's memory unless the range is longer than readSamplesMax; `flags` tells what to expect in it.
   */
  readColumn(series: number, from: number, to: number): Float64Array {
    const region = this.words[C.READ_VALUES]!;
    if (to - from <= this.readSamplesMax) {
      this.flags = this.kernel.readColumn(series, from, to, region);
      return this.floats.subarray(region / 8, region / 8 + to - from);
    }
    const values = new Float64Array(to - from);
    let flags = 0;
    for (let at = from; at < to; at += this.readSamplesMax) {
      const end = Math.min(to, at + this.readSamplesMax);
      flags |= this.kernel.readColumn(series, at, end, region);
      values.set(this.floats.subarray(region / 8, region / 8 + end - at), at - from);
    }
    this.flags = flags;
    return values;
  }

  /**
   * All of the head's samples of a series with times in [lowMs, highMs], ascending, without holes. Views as in
   * readColumn.
   */
  readSeries(series: number, lowMs: number, highMs: number): { times: Float64Array; values: Float64Array } {
    const { words, floats, readSamplesMax: capacity } = this;
    const [t, v] = [words[C.READ_TIMES]!, words[C.READ_VALUES]!];
    const high = Math.min(highMs, TIME_MAX);
    let times = floats.subarray(0, 0);
    let values = times;
    let flags = 0;
    for (let low = Math.max(lowMs, -TIME_MAX); ; low = floats[T.R_RESUME]!) {
      const result = this.kernel.readSeries(series, low, high, t, v, capacity);
      flags |= result;
      const n = words[C.R_COUNT]!;
      const more = [floats.subarray(t / 8, t / 8 + n), floats.subarray(v / 8, v / 8 + n)] as const;
      const whole = times.length === 0 && (result & READ_MORE) === 0;
      times = whole ? more[0] : concatenate(times, more[0]);
      values = whole ? more[1] : concatenate(values, more[1]);
      if ((result & READ_MORE) !== 0) continue;
      this.flags = flags & ~READ_MORE;
      return { times, values };
    }
  }

  stats(): HeadKernelStats {
    const { words, floats } = this;
    return {
      memoryBytes: words[C.MEMORY_BYTES]!,
      seriesCount: words[C.SERIES_COUNT]!,
      seriesCapacity: words[C.SERIES_CAPACITY]!,
      groupCount: words[C.GROUP_COUNT]!,
      groupCapacity: words[C.GROUP_CAPACITY]!,
      samples: floats[T.T_SAMPLES]!,
      holes: floats[T.T_HOLES]!,
      arenaBytes: words[C.ARENA_END]! - words[C.ARENA_BASE]!,
      arenaUsedBytes: words[C.ARENA_NEXT]! - words[C.ARENA_BASE]!,
      sealedBytes: floats[T.T_SEALED_BYTES]!,
      sealedSamples: floats[T.T_SEALED_SAMPLES]!,
      sealedChunks: floats[T.T_SEALED_CHUNKS]!,
      timeBytes: floats[T.T_TIME_BYTES]!,
      growingBytes: floats[T.T_GROWING_BYTES]!,
      moves: floats[T.T_MOVES]!,
      recordBytes: (words[C.SERIES_COUNT]! * (HOT_WORDS + SERIES_WORDS) + words[C.GROUP_COUNT]! * GROUP_WORDS) * 4,
    };
  }

  /** The group made for a home; -1 when there is no room for another. Open addressing, keys in the group records. */
  private groupOfHome(high: number, low: number): number {
    const mask = this.homes.length - 1;
    let slot = low & mask;
    for (; this.homes[slot] !== NONE; slot = (slot + 1) & mask) {
      const home = this.groupBase + this.homes[slot]! * GROUP_WORDS + G_HOME;
      if (this.words[home] === low && this.words[home + 1] === high) return this.homes[slot]!;
    }
    const group = this.kernel.addGroup(low, high) | 0;
    if (group < 0) return -1;
    this.homes[slot] = group;
    if (++this.homesUsed * 2 > this.homes.length) this.growHomes();
    return group;
  }

  private growHomes(): void {
    const old = this.homes;
    this.homes = new Uint32Array(old.length * 2).fill(NONE);
    const mask = this.homes.length - 1;
    for (const group of old) {
      if (group === NONE) continue;
      let slot = this.words[this.groupBase + group * GROUP_WORDS + G_HOME]! & mask;
      while (this.homes[slot] !== NONE) slot = (slot + 1) & mask;
      this.homes[slot] = group;
    }
  }
}

function sampleCount(record: Uint8Array): number {
  return record.length < 4 ? 0 : new DataView(record.buffer, record.byteOffset, 4).getUint32(0, true);
}

function concatenate(a: Float64Array, b: Float64Array): Float64Array {
  const all = new Float64Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
