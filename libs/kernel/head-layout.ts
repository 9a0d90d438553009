// libs/kernel/head-layout.ts: the part of the head's memory layout that TypeScript reads, as indexes of 32- and 64-bit
// columns.
// The layout is made by assembly/lib/head-layout.ts; test/unit/kernel/head-layout.test.ts checks that both say the
// same.

export const CONTROL_AT = 1024;
export const CONTROL_BYTES = 1024;

/** Index of a word of the control block in a Uint32Array over the whole memory. */
const word = (offset: number): number => (CONTROL_AT + offset) / 4;
/** Index of a total in a Float64Array over the whole memory. */
const total = (offset: number): number => (CONTROL_AT + offset) / 8;

export const CONTROL_WORDS = {
  MEMORY_BYTES: word(0),
  SERIES_BASE: word(4),
  SERIES_CAPACITY: word(8),
  SERIES_COUNT: word(12),
  GROUP_BASE: word(16),
  GROUP_CAPACITY: word(20),
  GROUP_COUNT: word(24),
  BATCH_BASE: word(28),
  BATCH_CAPACITY: word(32),
  OUT_BASE: word(36),
  OUT_CAPACITY: word(40),
  SPILL_CAPACITY: word(44),
  SPILL_SERIES: word(48),
  SPILL_TIMES: word(52),
  SPILL_VALUES: word(56),
  READ_CAPACITY: word(60),
  READ_TIMES: word(64),
  READ_VALUES: word(68),
  STACK_BASE: word(72),
  FRAME_BASE: word(76),
  CHUNK_BASE: word(80),
  ARENA_BASE: word(84),
  ARENA_NEXT: word(88),
  ARENA_END: word(92),
  HOT_BASE: word(104),
  VALUES_BASE: word(108),
  R_STORED: word(128),
  R_DUPLICATES: word(132),
  R_OUTVOTED: word(136),
  R_SPILLED: word(140),
  R_FUTURE: word(144),
  R_TOO_OLD: word(148),
  R_REFUSED_LIMIT: word(152),
  R_REFUSED_COLLISION: word(156),
  R_UNKNOWN: word(160),
  R_RECORD_BYTES: word(164),
  R_CONSUMED: word(168),
  R_COUNT: word(172),
  R_FROM: word(192),
  R_TO: word(196),
  CLASS_TABLE: word(512),
} as const;

export const CONTROL_TOTALS = {
  R_RESUME: total(184),
  R_NEWEST: total(200),
  T_SAMPLES: total(256),
  T_HOLES: total(264),
  T_SEALED_BYTES: total(272),
  T_SEALED_SAMPLES: total(280),
  T_SEALED_CHUNKS: total(288),
  T_TIME_BYTES: total(296),
  T_GROWING_BYTES: total(304),
  T_MOVES: total(312),
} as const;

/** Bytes that stay untouched between two regions. */
export const GUARD_BYTES = 128;
/** Bytes before and after a read's columns that decoding may overwrite. */
export const READ_SLACK_BYTES = 2048;

/** Words of the hot part of a series record. */
export const HOT_WORDS = 4;
export const H_GROUP = 0;
export const H_NEXT = 1;
export const H_CURSOR = 2;
export const H_CLEAN_FROM = 3;

/** Words of the rest of a series record. */
export const SERIES_WORDS = 8;
export const S_CHUNK = 0;
export const S_SEALED = 1;
export const S_GROUP_FIRST = 2;
/** The lowest byte of this word. */
export const S_FLAGS = 3;
export const SERIES_LATE = 1;
export const SERIES_MOVED = 2;
export const SERIES_HIDDEN = 32;
/** Set in H_GROUP when the series' next sample goes to another group. */
export const LEAVING = 0x80000000;

/** Words of a group record. */
export const GROUP_WORDS = 16;
export const G_COUNT = 0;
export const G_HOME = 10;

export const NONE = 0xffffffff;
