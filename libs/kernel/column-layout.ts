// libs/kernel/column-layout.ts: the column codec's control block and header as TypeScript sees them.
// The layout is made by assembly/lib/column-layout.ts; test/unit/kernel/column-layout.test.ts checks that both say the same.

const CONTROL = 1024;

/** Index of a word of the control block in a Uint32Array over the whole memory. */
const word = (offset: number): number => (CONTROL + offset) / 4;

export const COLUMN_WORDS = {
  CAPACITY: word(0),
  HEADER: word(4),
  VALUES: word(8),
  REFERENCES: word(12),
  REFERENCE_STRIDE: word(16),
  PAYLOAD: word(20),
  PAYLOAD_CAPACITY: word(24),
  FREQUENCIES: word(28),
  DECODE_TABLES: word(32),
  ENCODE_STATES: word(36),
  ENCODE_SYMBOLS: word(40),
  COSTS: word(44),
  POWERS: word(48),
  HISTOGRAMS: word(52),
  INTEGERS: word(56),
  MULTIPLES: word(60),
  DIFFERENCES: word(64),
  RESIDUALS: word(68),
  CLASSES: word(72),
  STREAM: word(76),
  STREAM_END: word(80),
  LAYOUT_END: word(84),
} as const;

export const COLUMN_GUARD_BYTES = 128;
export const TABLE_COUNT = 16;
export const STATE_COUNT = 1024;
export const SYMBOL_COUNT = 24;
export const ESCAPE_SYMBOL = 23;
export const REFERENCES_MAX = 4;
export const EXPONENT_MAX = 22;

/** Offsets of the header's fields. */
export const FIELD = {
  COUNT: 0,
  KIND: 4,
  FLAGS: 5,
  EXPONENT: 6,
  PREDICTOR: 7,
  SHIFT: 8,
  TABLE_ZERO: 9,
  TABLE_OTHER: 10,
  TABLE_RESIDUAL: 11,
  PAYLOAD_BYTES: 12,
  BASE: 16,
  STEP: 24,
  BIAS: 32,
  GCD: 40,
  MIN: 48,
  MAX: 56,
  SUM: 64,
  FIRST: 72,
  LAST: 80,
  RESET_SUM: 88,
  RESETS: 96,
  STALES: 100,
  NANS: 104,
  FIRST_INDEX: 108,
  LAST_INDEX: 112,
  REFERENCE: 116,
  FINGERPRINT: 120,
} as const;
export const COLUMN_HEADER_BYTES = 128;
/** The fields that decoding takes stand before all others. */
export const COLUMN_CODING_BYTES = FIELD.MIN;

export const KIND_RAW = 0;
export const KIND_CONSTANT = 1;
export const KIND_LINEAR = 2;
export const KIND_CODED = 3;

export const FLAG_REFERENCE = 1;
export const FLAG_EXCEPTIONS = 2;
export const FLAG_RESIDUALS = 4;
export const FLAG_RESIDUALS_ALL = 8;

export const PREDICT_DELTA = 0;
export const PREDICT_MEDIAN = 1;
export const PREDICT_SLOPE = 2;
export const PREDICT_FLOOR = 3;
export const PREDICT_LINE = 4;

/** The index of the first or last sample of a column that has none. */
export const NO_INDEX = 0xffffffff;
