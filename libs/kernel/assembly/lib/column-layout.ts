// libs/kernel/assembly/lib/column-layout.ts: the memory of the column codec: control block, tables, header, values, payload, scratch.
// libs/kernel/column-layout.ts says the same for TypeScript; a test compares the two. What the header's fields mean:
// libs/kernel/FORMAT.md, "Column".

export const CONTROL: usize = 1024;

// Words of the control block: set by layOut, constant afterwards.
export const CAPACITY: usize = 0; // samples of the longest column
export const HEADER: usize = 4;
export const VALUES: usize = 8; // f64: what encode reads and decode writes
export const REFERENCES: usize = 12; // four columns of f64, REFERENCE_STRIDE bytes apart
export const REFERENCE_STRIDE: usize = 16;
export const PAYLOAD: usize = 20;
export const PAYLOAD_CAPACITY: usize = 24;
export const FREQUENCIES: usize = 28; // u16 [16][24], written by the caller before init
export const DECODE_TABLES: usize = 32; // u32 [16][1024]
export const ENCODE_STATES: usize = 36; // u16 [16][1024]
export const ENCODE_SYMBOLS: usize = 40; // 12 bytes [16][24]
export const COSTS: usize = 44; // f32 [24][16], in bits
export const POWERS: usize = 48; // f64 [23]
export const HISTOGRAMS: usize = 52; // u32 [3][64], u64 [8], f32 [16]
export const INTEGERS: usize = 56; // i64: the integers n of a column
export const MULTIPLES: usize = 60; // i64: (n - reference - base) ÷ gcd
export const DIFFERENCES: usize = 64; // u64: what is entropy-coded, and what came out of it
export const RESIDUALS: usize = 68; // i32: ulps, EXCEPTION where the value is one
export const CLASSES: usize = 72; // u8: bit lengths, then symbols
export const STREAM: usize = 76; // the state bits, written from the end
export const STREAM_END: usize = 80;
export const LAYOUT_END: usize = 84;

export const GUARD: u32 = 128;
export const TABLES: u32 = 16;
export const STATE_BITS: u32 = 10;
export const STATES: u32 = 1024;
export const SYMBOLS: u32 = 24;
/** The symbol of what its table has no symbol for: six bits of raw class follow. */
export const ESCAPE: u32 = 23;
export const CLASS_MAX: u32 = 63;
export const REFERENCES_MAX: u32 = 4;
export const EXPONENT_MAX: u32 = 22;
export const EXCEPTION: i32 = i32.MIN_VALUE;

// The header, 128 bytes.
export const HEADER_BYTES: u32 = 128;
export const F_COUNT: usize = 0; // u32
export const F_KIND: usize = 4; // u8
export const F_FLAGS: usize = 5; // u8
export const F_EXPONENT: usize = 6; // u8
export const F_PREDICTOR: usize = 7; // u8
export const F_SHIFT: usize = 8; // u8: k
export const F_TABLE_ZERO: usize = 9; // u8: table after a symbol 0
export const F_TABLE_OTHER: usize = 10; // u8: table after any other symbol
export const F_TABLE_RESIDUAL: usize = 11; // u8
export const F_PAYLOAD_BYTES: usize = 12; // u32
export const F_BASE: usize = 16; // i64, or the bits of a constant
export const F_STEP: usize = 24; // i64
export const F_BIAS: usize = 32; // i64
export const F_GCD: usize = 40; // u64
export const F_MIN: usize = 48; // f64
export const F_MAX: usize = 56; // f64
export const F_SUM: usize = 64; // f64
export const F_FIRST: usize = 72; // f64
export const F_LAST: usize = 80; // f64
export const F_RESET_SUM: usize = 88; // f64
export const F_RESETS: usize = 96; // u32
export const F_STALES: usize = 100; // u32
export const F_NANS: usize = 104; // u32
export const F_FIRST_INDEX: usize = 108; // u32
export const F_LAST_INDEX: usize = 112; // u32
export const F_REFERENCE: usize = 116; // u32: which reference was taken, from 1; only told, never read
export const F_FINGERPRINT: usize = 120; // u64: hash of the increments; only told, never read

export const KIND_RAW: u32 = 0;
export const KIND_CONSTANT: u32 = 1;
export const KIND_LINEAR: u32 = 2;
export const KIND_CODED: u32 = 3;

export const FLAG_REFERENCE: u32 = 1;
export const FLAG_EXCEPTIONS: u32 = 2;
export const FLAG_RESIDUALS: u32 = 4; // at values whose integer is another than the one before
export const FLAG_RESIDUALS_ALL: u32 = 8; // at every value

export const PREDICT_DELTA: u32 = 0;
export const PREDICT_MEDIAN: u32 = 1;
export const PREDICT_SLOPE: u32 = 2;
export const PREDICT_FLOOR: u32 = 3;
export const PREDICT_LINE: u32 = 4;

export const STALE: u64 = 0x7ff0000000000002;
export const NORMAL_NAN: u64 = 0x7ff8000000000001;
export const POSITIVE_INFINITY: u64 = 0x7ff0000000000000;
export const NEGATIVE_INFINITY: u64 = 0xfff0000000000000;
export const NEGATIVE_ZERO: u64 = 0x8000000000000000;
/** The index of a first or last sample that there is not. */
export const NONE: u32 = 0xffffffff;

// What decode returns.
export const OK: u32 = 0;
export const BAD_HEADER: u32 = 1;
export const BAD_EXCEPTIONS: u32 = 2;
export const BAD_STREAM: u32 = 3;
export const BAD_LENGTH: u32 = 4;

// @ts-ignore: decorator
@inline
export function word(offset: usize): usize {
  return load<u32>(CONTROL + offset);
}

let next: u64 = 0;

/** Gives `bytes` bytes to a region, aligned, a guard behind them. */
function place(offset: usize, bytes: u64): void {
  store<u32>(CONTROL + offset, <u32>next);
  next = (next + bytes + GUARD + 63) & ~63;
}

/** Lays out a memory for columns of up to `capacity` samples. Returns false when it is too small for that. */
export function layOut(capacity: u32, memoryBytes: u32): bool {
  const n: u64 = capacity;
  next = <u64>CONTROL + 256;
  place(HEADER, HEADER_BYTES);
  place(FREQUENCIES, TABLES * SYMBOLS * 2);
  place(DECODE_TABLES, TABLES * STATES * 4);
  place(ENCODE_STATES, TABLES * STATES * 2);
  place(ENCODE_SYMBOLS, TABLES * SYMBOLS * 12);
  place(COSTS, TABLES * SYMBOLS * 4);
  place(POWERS, (EXPONENT_MAX + 1) * 8);
  place(HISTOGRAMS, 3 * 256 + 64 + 64);
  place(VALUES, n * 8);
  const stride = (n * 8 + GUARD + 63) & ~63;
  store<u32>(CONTROL + REFERENCE_STRIDE, <u32>stride);
  place(REFERENCES, stride * REFERENCES_MAX);
  // A value costs at most 16 bytes of stream, 4 of residual and 12 of exception; see lib/column-write.ts.
  const payload = n * 40 + 1024;
  store<u32>(CONTROL + PAYLOAD_CAPACITY, <u32>payload);
  place(PAYLOAD, payload);
  place(INTEGERS, n * 8);
  place(MULTIPLES, n * 8);
  place(DIFFERENCES, n * 8);
  place(RESIDUALS, n * 4);
  place(CLASSES, n);
  const stream = n * 2 + 64;
  place(STREAM, stream);
  store<u32>(CONTROL + STREAM_END, <u32>(word(STREAM) + <usize>stream));
  store<u32>(CONTROL + CAPACITY, capacity);
  store<u32>(CONTROL + LAYOUT_END, <u32>next);
  return next <= <u64>memoryBytes;
}
