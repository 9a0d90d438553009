// libs/block/column-entry.ts: what a block knows of a column besides its payload.
import type { ColumnHeader } from "../kernel/index.ts";

export interface ColumnEntry {
  readonly header: ColumnHeader;
  /** CRC-32 of the payload; 0 when there is none. */
  readonly checksum: number;
  /** The time column that its values belong to; of a time column 0. */
  readonly times: number;
  /** The column it is coded against, a lower number; -1 when there is none. */
  readonly reference: number;
}

/** A column's entry as a reader sees it. */
export interface StoredColumn extends ColumnEntry {
  /** Where in the file its payload is. */
  readonly offset: number;
}
