// libs/kernel/assembly/lib/codes.ts: what the ingest kernels answer instead of a length. libs/kernel/ingest.ts turns them into sentences.

export const SNAPPY_LENGTH: i32 = -1; // the declared length is no varint of 32 bits
export const SNAPPY_TOO_LONG: i32 = -2; // the declared length is beyond the output
export const SNAPPY_TRUNCATED: i32 = -3; // a literal or a copy's offset goes beyond the input
export const SNAPPY_OVERRUN: i32 = -4; // a literal or copy goes beyond the declared length
export const SNAPPY_OFFSET: i32 = -5; // a copy from before the beginning, or from itself
export const SNAPPY_SHORT: i32 = -6; // the input ends before the declared length

export const WIRE_TRUNCATED: i32 = -16; // a field ends beyond its message
export const WIRE_VARINT: i32 = -17; // a varint of more than 64 bits
export const WIRE_TYPE: i32 = -18; // a known field with another wire type, or a wire type that doesn't exist
export const WIRE_TAG: i32 = -19; // field number 0 or beyond 2^29
export const WIRE_GROUP: i32 = -20; // an end of a group that never began

export const LIMIT_SERIES: i32 = -32; // more series than the columns hold
export const LIMIT_SAMPLES: i32 = -33; // more samples than the columns hold
export const LIMIT_SYMBOLS: i32 = -34; // more symbols than the columns hold
export const LIMIT_LABELS: i32 = -35; // gathered label bytes beyond their region
export const LIMIT_METADATA: i32 = -36; // more metadata entries than the list holds

export const FULL_ARENA: i32 = -48; // no room for another form's bytes
export const FULL_TABLE: i32 = -49; // the table is too full; rebuild it in a bigger region
export const FULL_BATCH: i32 = -50; // the batch's region is too small
