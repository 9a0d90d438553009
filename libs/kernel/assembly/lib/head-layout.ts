// libs/kernel/assembly/lib/head-layout.ts: where everything is in the head's memory: control block, records, regions.
// libs/kernel/head-layout.ts repeats the offsets that TypeScript reads; test/unit/kernel/head-layout.test.ts compares
// them.
// All regions but the arena are fixed by layOut. Between two regions lie GUARD bytes that nothing ever writes.

/** The control block: u32 words at a fixed address, because a kernel may hold no static data. */
export const CONTROL: usize = 1024;
export const GUARD: u32 = 128;

export const MEMORY_BYTES: usize = 0;
export const SERIES_BASE: usize = 4;
export const SERIES_CAPACITY: usize = 8;
export const SERIES_COUNT: usize = 12;
export const GROUP_BASE: usize = 16;
export const GROUP_CAPACITY: usize = 20;
export const GROUP_COUNT: usize = 24;
export const BATCH_BASE: usize = 28; // the batch that append reads
export const BATCH_CAPACITY: usize = 32;
export const OUT_BASE: usize = 36; // the samples record that append writes, and the one that replay reads
export const OUT_CAPACITY: usize = 40;
export const SPILL_CAPACITY: usize = 44; // samples of a batch or record: entries of the three spill columns
export const SPILL_SERIES: usize = 48; // u32 column
export const SPILL_TIMES: usize = 52; // f64 column
export const SPILL_VALUES: usize = 56; // f64 column
export const READ_CAPACITY: usize = 60; // samples a read returns at once
export const READ_TIMES: usize = 64; // f64 column with READ_SLACK bytes of room on both sides
export const READ_VALUES: usize = 68; // likewise
export const STACK_BASE: usize = 72; // STACK_ENTRIES chunk addresses, used within one read
export const FRAME_BASE: usize = 76; // one frame of values and of differences, used within one seal
export const CHUNK_BASE: usize = 80; // one decoded chunk, used within one look-up
export const ARENA_BASE: usize = 84;
export const ARENA_NEXT: usize = 88;
export const ARENA_END: usize = 92;
export const SEALED_NEXT: usize = 96;
export const SEALED_END: usize = 100;
export const HOT_BASE: usize = 104; // the hot part of the series records
export const VALUES_BASE: usize = 108; // f64 column: the values of the batch or record being appended; SPILL_CAPACITY of them

// What the last append or replay did.
export const R_STORED: usize = 128; // samples stored in the head, new or as winners over another value
export const R_DUPLICATES: usize = 132; // the same sample was there
export const R_OUTVOTED: usize = 136; // another value of the same time wins
export const R_SPILLED: usize = 140; // entries of the spill list
export const R_FUTURE: usize = 144;
export const R_TOO_OLD: usize = 148;
export const R_REFUSED_LIMIT: usize = 152;
export const R_REFUSED_COLLISION: usize = 156;
export const R_UNKNOWN: usize = 160; // entries of the list of unknown references, in the out region
export const R_RECORD_BYTES: usize = 164;
export const R_CONSUMED: usize = 168; // samples looked at before the arena was full
export const R_COUNT: usize = 172; // samples that a read returned
export const R_RESUME: usize = 184; // f64: where to go on when the read did not fit
export const R_NEWEST: usize = 200; // f64: newest time looked at within the bounds, -Infinity when there is none
export const R_FROM: usize = 192; // ordinals that timeRange found
export const R_TO: usize = 196;

// Totals. f64, so that TypeScript reads them without BigInt.
export const T_SAMPLES: usize = 256;
export const T_HOLES: usize = 264;
export const T_SEALED_BYTES: usize = 272; // value chunks, exact
export const T_SEALED_SAMPLES: usize = 280; // ordinals in sealed value chunks
export const T_SEALED_CHUNKS: usize = 288;
export const T_TIME_BYTES: usize = 296; // sealed chunks of timestamp columns
export const T_GROWING_BYTES: usize = 304; // slots of growing chunks
export const T_MOVES: usize = 312; // series that changed their group

/** Per size class: free list u32, next u32, end u32, slots in use u32. */
export const CLASS_TABLE: usize = 512;
export const CONTROL_BYTES: u32 = 1024;

export const PAGE_BYTES: u32 = 16384;
export const STACK_ENTRIES: u32 = 4096;
export const READ_SLACK: u32 = 2048;
export const NONE: u32 = 0xffffffff;

// A series: 16 hot bytes, which every append reads, and 32 more, in a table of their own.
export const HOT_BYTES: u32 = 16;
export const H_GROUP: usize = 0; // u32; LEAVING is set when the next sample goes to another group
export const H_NEXT: usize = 4; // u32: the ordinal after the newest one, NONE before the first sample in this group
export const H_CURSOR: usize = 8; // u32: the next free cell of the open buffer, 0 when there is none
export const H_CLEAN_FROM: usize = 12; // u32: from this ordinal on there is neither hole nor stale marker
export const SERIES_BYTES: u32 = 32;
export const S_CHUNK: usize = 0; // u32: the growing chunk, 0 when there is none
export const S_SEALED: usize = 4; // u32: the newest sealed chunk, 0 when there is none
export const S_GROUP_FIRST: usize = 8; // u32: the first ordinal in this group
export const S_FLAGS: usize = 12; // u8
export const S_EXPONENT: usize = 13; // u8: the decimal exponent of the newest frame, EXPONENT_NONE when there is none
export const S_STRIKES: usize = 14; // u8: frames in a row with many holes
export const S_MOVES: usize = 15; // u8: how often the series changed its group
export const S_LAST: usize = 16; // u64: bits of the last value in the growing chunk
export const S_FIRST_TIME: usize = 24; // i64: time of the first sample in the head

export const SERIES_LATE: u8 = 1; // the late store may have samples of this series
export const SERIES_MOVED: u8 = 2; // has chunks in other groups
export const SERIES_SPECIAL: u8 = 4; // the open buffer holds holes or stale markers
export const SERIES_NAN: u8 = 8; // the open buffer holds other NaNs
export const SERIES_RUN: u8 = 16; // the growing chunk ends with a run
export const SERIES_HIDDEN: u8 = 32; // a deletion hides some of its samples: what is not newer than all goes to the late store
export const LEAVING: u32 = 0x80000000;

// A group: one timestamp column, 64 bytes.
export const GROUP_BYTES: u32 = 64;
export const G_COUNT: usize = 0; // u32: ordinals
export const G_OPEN: usize = 4; // u32: the open block, 0 when there is none
export const G_CHUNK: usize = 8; // u32: growing chunk
export const G_SEALED: usize = 12; // u32: newest sealed chunk
export const G_LAST_TIME: usize = 16; // i64
export const G_ORIGIN: usize = 28; // u32: the group that was made for its home
export const G_RECENT: usize = 32; // u32: in an origin, the newest group that series of it moved to
export const G_OPEN_COUNT: usize = 36; // u8: times in the open block
export const G_CHUNK_CLASS: usize = 37; // u8
export const G_HOME: usize = 40; // u64

// The open block of a column: i64 base, then 16 × u32 offset.
export const OPEN_TIMES_BYTES: u32 = 80;

// Open buffers: 128 neighbouring series share a page of 16 rows, and a row has a cell for each of them. A scrape of
// neighbours in step
// then writes along one row: 8.6 ns a sample with 500,000 series, where a buffer of its own per series took 42.
export const OPEN_BLOCK_BYTES: u32 = 16384;
export const OPEN_BLOCK_SERIES: u32 = 128;
export const OPEN_ROW: usize = 1024;
/** The bits of a cursor that count its row. */
export const OPEN_ROWS: usize = 15360;

export const FRAME_SAMPLES: u32 = 16;

// A chunk of values, and a chunk of times (see libs/chunk/FORMAT.md).
export const CHUNK_PREVIOUS: usize = 0; // u32
export const CHUNK_GROUP: usize = 4; // u32
export const CHUNK_FIRST: usize = 8; // u32 ordinal
export const CHUNK_COUNT: usize = 12; // u16 ordinals
export const CHUNK_BYTES: usize = 14; // u16, header included
export const CHUNK_FLAGS: usize = 16; // u8
export const CHUNK_CLASS: usize = 17; // u8: size class of the slot while the chunk grows
export const CHUNK_BASE_VALUE: usize = 20; // u64
export const CHUNK_HEADER: u32 = 28;
export const TIMES_HEADER: u32 = 16;
export const CHUNK_ORDINALS: u32 = 128;
export const CHUNK_ORDINALS_CONSTANT: u32 = 65520;
/** Gaps up to this many ordinals are filled with holes, longer ones begin a new chunk. */
export const GAP_HOLES: u32 = 32;

export const CHUNK_CONSTANT: u8 = 1;
export const CHUNK_HOLES: u8 = 2;
export const CHUNK_STALE: u8 = 4;
export const CHUNK_NAN: u8 = 8;

export const FRAME_RUN: u32 = 0;
export const FRAME_SAME: u32 = 1;
export const FRAME_XOR: u32 = 2;
export const FRAME_DECIMAL: u32 = 3;
export const FRAME_HAS_HOLES: u32 = 4;
export const FRAME_HAS_STALE: u32 = 8;
export const FRAME_DENSE: u32 = 16;

export const EXPONENT_MAX: u32 = 12;
export const EXPONENT_NONE: u32 = 15;

export const HOLE: u64 = 0x7ff0000000000003;
export const STALE: u64 = 0x7ff0000000000002;
export const EXPONENT_BITS: u64 = 0x7ff0000000000000;

// Answers of append, replay and the reads.
export const OK: u32 = 0;
export const MALFORMED: u32 = 1;
export const UNKNOWN: u32 = 2;
export const FULL: u32 = 3;

export const READ_HOLES: u32 = 1;
export const READ_STALE: u32 = 2;
export const READ_NAN: u32 = 4;
export const READ_MORE: u32 = 8;

/** Dictionary entries from here on are refusals, not series + 1. */
export const REFUSED_LIMIT: u32 = 0xffffffff;
export const REFUSED_COLLISION: u32 = 0xfffffffe;

// @ts-ignore: decorator
@inline
export function word(offset: usize): u32 {
  return load<u32>(CONTROL + offset);
}

// @ts-ignore: decorator
@inline
export function setWord(offset: usize, value: u32): void {
  store<u32>(CONTROL + offset, value);
}

// @ts-ignore: decorator
@inline
export function addTotal(offset: usize, value: f64): void {
  store<f64>(CONTROL + offset, load<f64>(CONTROL + offset) + value);
}

// @ts-ignore: decorator
@inline
export function seriesAt(series: u32): usize {
  return <usize>word(SERIES_BASE) + (<usize>series << 5);
}

/** The hot part of the series whose record is at `series`. */
// @ts-ignore: decorator
@inline
export function hotOf(series: usize): usize {
  return <usize>word(HOT_BASE) + ((series - <usize>word(SERIES_BASE)) >> 1);
}

/** Values in the open buffer of a cursor. */
// @ts-ignore: decorator
@inline
export function openCount(cursor: usize): u32 {
  return <u32>((cursor & OPEN_ROWS) >> 10);
}

/** Copies n cells of an open buffer, which begins at the first of them, to a column. */
export function copyOpen(to: usize, cell: usize, n: u32): void {
  for (let i: u32 = 0; i < n; i++) {
    store<u64>(to, load<u64>(cell));
    to += 8;
    cell += OPEN_ROW;
  }
}

// @ts-ignore: decorator
@inline
export function groupAt(group: u32): usize {
  return <usize>word(GROUP_BASE) + (<usize>group << 6);
}

/**
 * Lays out a zeroed memory: one series record and one group record per KiB, scratch for batches of batchBytes and reads
 * of readSamples, and the rest as arena. Returns false when nothing would be left for the arena.
 */
export function layOut(memoryBytes: u32, batchBytes: u32, readSamples: u32): bool {
  const records = memoryBytes >> 10;
  const samples = batchBytes >> 3;
  let at: u64 = <u64>CONTROL + CONTROL_BYTES + GUARD;
  setWord(MEMORY_BYTES, memoryBytes);
  setWord(SERIES_CAPACITY, records);
  at = place(HOT_BASE, at, <u64>records * HOT_BYTES);
  at = place(SERIES_BASE, at, <u64>records * SERIES_BYTES);
  setWord(GROUP_CAPACITY, records);
  at = place(GROUP_BASE, at, <u64>records * GROUP_BYTES);
  setWord(BATCH_CAPACITY, batchBytes);
  at = place(BATCH_BASE, at, batchBytes);
  // A sample takes at most 5 + 1 + 8 bytes for a run of its own, and 8 for its value, which is gathered behind all runs.
  setWord(OUT_CAPACITY, samples * 23 + 128);
  at = place(OUT_BASE, at, <u64>samples * 23 + 128);
  setWord(SPILL_CAPACITY, samples);
  at = place(SPILL_SERIES, at, <u64>samples * 4);
  at = place(SPILL_TIMES, at, <u64>samples * 8);
  at = place(SPILL_VALUES, at, <u64>samples * 8);
  at = place(VALUES_BASE, at, <u64>samples * 8);
  setWord(READ_CAPACITY, readSamples);
  at = place(READ_TIMES, at + READ_SLACK, <u64>readSamples * 8 + READ_SLACK);
  at = place(READ_VALUES, at + READ_SLACK, <u64>readSamples * 8 + READ_SLACK);
  at = place(STACK_BASE, at, STACK_ENTRIES * 4);
  at = place(FRAME_BASE, at, FRAME_SAMPLES * 16);
  at = place(CHUNK_BASE, at, (CHUNK_ORDINALS + 2 * FRAME_SAMPLES) * 8);
  const arena = (at + PAGE_BYTES - 1) & ~(<u64>PAGE_BYTES - 1);
  if (arena + PAGE_BYTES * 8 > <u64>memoryBytes - PAGE_BYTES) return false;
  setWord(ARENA_BASE, <u32>arena);
  setWord(ARENA_NEXT, <u32>arena);
  // The last page stays unused: decoding reads up to 8 bytes behind a chunk.
  setWord(ARENA_END, (memoryBytes & ~(PAGE_BYTES - 1)) - PAGE_BYTES);
  return true;
}

function place(offset: usize, at: u64, bytes: u64): u64 {
  const start = (at + 63) & ~63;
  setWord(offset, <u32>start);
  return start + bytes + GUARD;
}
