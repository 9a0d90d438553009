// libs/index/index.ts: the inverted index: series ids, label pairs, postings, matchers.
export { type Bitmap, bitmapImplementation, createBitmap } from "./bitmap.ts";
export { BITMAP_FROM, PostingTable } from "./postings.ts";
export { SELECTION_SERIES_MAX, SELECTIONS_MAX, SelectionCache, type SeriesGroups } from "./selection-cache.ts";
export { SeriesIds } from "./series-ids.ts";
export { SeriesIndex } from "./series-index.ts";
