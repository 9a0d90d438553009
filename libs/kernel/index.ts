// libs/kernel/index.ts: what other folders may use of the kernels.
export { COLUMN_SAMPLES_MAX, type ColumnFault, ColumnKernel, type EncodedColumn } from "./column.ts";
export { ColumnHeader, type ColumnKind } from "./column-header.ts";
export {
  COLUMN_CODING_BYTES,
  COLUMN_HEADER_BYTES,
  FIELD as COLUMN_FIELD,
  FLAG_EXCEPTIONS,
  FLAG_REFERENCE,
  FLAG_RESIDUALS,
  FLAG_RESIDUALS_ALL,
  KIND_CODED,
  KIND_CONSTANT,
  KIND_LINEAR,
  KIND_RAW,
  NO_INDEX,
} from "./column-layout.ts";
export { createHash128 } from "./hash128.ts";
export {
  type AppendOutcome,
  HEAD_MEMORY_MAX_BYTES,
  HEAD_MEMORY_MIN_BYTES,
  HeadDictionary,
  HeadKernel,
  type HeadKernelOptions,
  type HeadKernelStats,
  READ_HOLES,
  READ_NAN,
  READ_STALE,
} from "./head.ts";
export { IngestKernel, type IngestOptions } from "./ingest.ts";
export { BatchWriter, IngestDictionary, type SeriesRegistration } from "./ingest-batch.ts";
export {
  BATCH_HEADER_BYTES,
  BATCH_MAGIC,
  HASH_KEY_BYTES,
  type IngestSizes,
  ingestSizes,
  REGISTRATION_BYTES,
  ROW_WORDS,
} from "./ingest-layout.ts";
export { RequestView } from "./ingest-view.ts";
export { createMemory, loadKernel, PAGE_BYTES } from "./load.ts";
export { formatValue, NUMBER_BYTES_MAX, writeTimestamp, writeValue } from "./number-format.ts";
export { packedBytesMax, packValues, unpackValues } from "./packed-values.ts";
export { POINTS_PER_PIECE, PointsKernel } from "./points.ts";
export {
  decodeRuns,
  decodeSamplesRecord,
  encodeSamplesRecord,
  newestTimeOf,
  type SampleColumns,
} from "./samples-record.ts";
export { siphash128 } from "./twin/siphash.ts";
export { beats } from "./winner.ts";
