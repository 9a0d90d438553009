// libs/model/deletion.ts: the seam between whoever deletes series and any storage: deletions are made, listed and undone by an id that is the
// same on all storages.
import type { Matcher } from "./matcher.ts";

/** A deletion: what it was asked for, and when. */
export interface Deletion {
  /** 16 hex digits. */
  readonly id: string;
  readonly tenant: string;
  /** Series selectors as text, and the range of times, both ends in it. */
  readonly selectors: readonly string[];
  readonly minMs: number;
  readonly maxMs: number;
  readonly madeMs: number;
  /** How many series it hides samples of. */
  readonly series: number;
}

/** One that can still be undone. */
export interface PendingDeletion extends Deletion {
  readonly undoUntilMs: number;
}

export interface DeletionRequest {
  readonly id: string;
  readonly tenant: string;
  /** Series that match any of these, which are the selectors. */
  readonly sets: readonly (readonly Matcher[])[];
  readonly selectors: readonly string[];
  readonly minMs: number;
  readonly maxMs: number;
}

export interface Deletable {
  /**
   * Hides the samples there are now; later ones are not. Durable when it settles; undefined when there was nothing. Errors: InvalidError for
   * too many series, and for a range that has a part of rows whose samples are gone; UnavailableError.
   */
  deleteSeries(request: DeletionRequest): Promise<Deletion | undefined>;
  /** Shows again what a deletion has hidden. Errors: InvalidError when there is none of this id that can be undone; UnavailableError. */
  undelete(tenant: string, id: string): Promise<Deletion>;
  /** The tenant's deletions that can be undone, oldest first. Errors: UnavailableError. */
  deletions(tenant: string): Promise<PendingDeletion[]>;
  /** Takes what deletions hide off the disk, of all tenants: none can be undone afterwards. Errors: UnavailableError. */
  cleanTombstones(): Promise<void>;
}
