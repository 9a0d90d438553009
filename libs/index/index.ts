// libs/index/index.ts: the inverted index: series ids, label pairs, postings, matchers; of series in memory, and pieces of it in level.
export { type Bitmap, bitmapImplementation, createBitmap } from "./bitmap.ts";
export { divide } from "./divide.ts";
export type { KeyView } from "./key-view.ts";
export { LevelPieceStore } from "./level-store.ts";
export { PairTable } from "./pair-table.ts";
export { type PairRows, PieceBuilder } from "./piece.ts";
export { PieceReader } from "./piece-reader.ts";
export { MemoryPieceStore, type PieceStore, type PieceValue } from "./piece-store.ts";
export { openPiece, type PieceBlock, PREFIX_BYTES, pieceKey, piecePrefix, sealPiece } from "./piece-value.ts";
export { BITMAP_FROM, PostingTable } from "./postings.ts";
export { SELECTION_SERIES_MAX, SELECTIONS_MAX, SelectionCache, type SeriesGroups } from "./selection-cache.ts";
export { SeriesIds } from "./series-ids.ts";
export { KnownNumbers, SeriesIndex } from "./series-index.ts";
export { SeriesTable } from "./series-table.ts";
export { TablePostings } from "./table-postings.ts";
