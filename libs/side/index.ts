// libs/side/index.ts: what other folders may use of side data: histograms, exemplars and start times of series.
export { BUCKETS_MAX } from "./histogram-bytes.ts";
export { decodeSideBatch, type NamedSeries, type NamedSide, SideBatchWriter } from "./side-batch.ts";
export {
  decodeSideRecord,
  encodeSideRecord,
  type NumberedSide,
  newestSideMs,
  SIDE_TIME_MAX,
} from "./side-bytes.ts";
export { type SideEntry, SideFileReader, SideFileWriter } from "./side-file.ts";
export {
  isSideDraft,
  isSideFile,
  planSideExpiry,
  planSideMerges,
  type SideFileName,
  sideFileName,
  sideFolder,
} from "./side-folder.ts";
export type { SideFileOptions, SideFooter } from "./side-footer.ts";
export {
  exactSide,
  type HistogramSample,
  isEmptySide,
  mergeSide,
  NO_SIDE,
  orderedSide,
  relevantSide,
  type SidePart,
  type SideSeries,
  STARTS_REACH_MS,
  type StartTime,
} from "./side-series.ts";
export { SideStore } from "./side-store.ts";
export { type SideDamage, verifySideFile } from "./verify.ts";
