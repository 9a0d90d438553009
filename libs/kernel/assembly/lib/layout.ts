// libs/kernel/assembly/lib/layout.ts: the two blocks of u32 words through which TypeScript and the ingest kernels talk.
// libs/kernel/ingest-layout.ts names the same offsets for TypeScript; the canary tests would notice a difference.

// The request block: where the regions are, then what the walk found.
export const IO_SERIES_CAP: usize = 0;
export const IO_SAMPLE_CAP: usize = 4;
export const IO_ROWS: usize = 8; // series rows of 4 u32: label address, label bytes, first sample, sid (0 = unknown)
export const IO_TIMES: usize = 12; // f64 ms per sample
export const IO_VALUES: usize = 16; // f64 bits per sample
export const IO_UNRESOLVED: usize = 20; // u32 row numbers
export const IO_TAGS: usize = 24; // u32 scratch per row
export const IO_CANDIDATES: usize = 28; // u32 scratch per row
export const IO_GATHER: usize = 32; // label bytes that are not one stretch of the request
export const IO_GATHER_CAP: usize = 36;
export const IO_METADATA: usize = 40; // u32 pairs: address, length of a 1.0 metadata entry
export const IO_METADATA_CAP: usize = 44;
export const IO_SYMBOLS: usize = 48; // u32 pairs: address, length of a 2.0 symbol
export const IO_SYMBOL_CAP: usize = 52;
export const IO_FAMILIES: usize = 56; // 2.0, per row 3 u32: metric type, help symbol, unit symbol
export const IO_OFFSET: usize = 64; // where the malformed field begins, from the start of the message
export const IO_SERIES: usize = 68;
export const IO_SAMPLES: usize = 72;
export const IO_UNRESOLVED_COUNT: usize = 76;
export const IO_EXEMPLARS: usize = 80;
export const IO_HISTOGRAMS: usize = 84;
export const IO_METADATA_COUNT: usize = 88;
export const IO_TIME_REFUSED: usize = 92; // samples beyond ±2^53 ms
export const IO_EMPTY: usize = 96; // series with neither samples nor histograms
export const IO_REFS_REFUSED: usize = 100; // 2.0 series with references to no symbol, or an odd number of them
export const IO_REFS_REFUSED_SAMPLES: usize = 104;
export const IO_GATHERED: usize = 108; // bytes used of the gather region
export const IO_SYMBOL_COUNT: usize = 112;
export const IO_GUESSED: usize = 116; // rows whose labels were taken for what stands before the sample
export const IO_STARTS: usize = 120; // start times of samples

/** Bytes of a series row. */
export const ROW: usize = 16;

// The forms block: the process-wide tables that find a sid by label bytes.
export const FORMS_ARENA: usize = 0; // records: u32 next form, sid, tenant, length; the label bytes; padding to 8
export const FORMS_USED: usize = 4; // bytes of the arena in use; starts at 8, so that form 0 is none
export const FORMS_CAP: usize = 8;
export const FORMS_TABLE: usize = 12; // slots of 8: u32 form, u32 tag
export const FORMS_BITS: usize = 16; // the table has 2^bits slots
export const FORMS_COUNT: usize = 20;
export const FORMS_KEYS: usize = 24; // HASH_KEY_BYTES secret bytes
export const FORMS_SEEN: usize = 28; // u8 per sid: the epoch of its last sample
export const FORMS_EPOCH: usize = 32;
export const FORMS_LAST: usize = 36; // the form of the last series found
export const FORMS_NEWEST: usize = 40; // the form remembered last
export const FORMS_ROUNDS: usize = 44; // batch passes so far

export const FORM_NEXT: usize = 0;
export const FORM_SID: usize = 4;
export const FORM_TENANT: usize = 8;
export const FORM_LENGTH: usize = 12;
export const FORM_BYTES: usize = 16;
