// libs/side/index.ts: what other folders may use of side data: histograms, exemplars and start times of series.
export type { HiddenRange } from "./hidden-side.ts";
export { BUCKETS_MAX } from "./histogram-bytes.ts";
export { decodeSideBatch, type NamedSeries, type NamedSide, SideBatchWriter } from "./side-batch.ts";
export {
  decodeSideRecord,
  encodeSideRecord,
  type NumberedSide,
  newestSideMs,
  SIDE_TIME_MAX,
} from "./side-bytes.ts";
export { nameSideDraft, type SideEntry, SideFileReader, SideFileWriter } from "./side-file.ts";
export {
  type HidingFile,
  isSideDraft,
  isSideFile,
  planSideExpiry,
  planSideMerges,
  type SideFileName,
  sideDraftOf,
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
  partOfSide,
  relevantSide,
  type SidePart,
  type SideSeries,
  STARTS_REACH_MS,
  type StartTime,
  sideTimesOf,
} from "./side-series.ts";
export { SideStore } from "./side-store.ts";
export { type SideDamage, verifySideFile } from "./verify.ts";
