// libs/index/selection-cache.ts: what matchers selected lately, and how queries grouped it.
// Dashboards ask the same selectors again and again while new series come rarely, so most queries find their series here.
// Invariants: an entry is only used while its tenant's series are those of when it was made; the entries hold at most SELECTION_SERIES_MAX series together, the least recently used go first.
import type { Labels, Matcher } from "../model/index.ts";

/** Series numbers in all cached selections together: 4 MiB, and as much again for each kept grouping. */
export const SELECTION_SERIES_MAX = 1 << 20;
/** Selections kept; small ones cost little more than their text. */
export const SELECTIONS_MAX = 256;
/** Groupings kept per selection; more than a dashboard's panels use on one selector. */
const GROUPINGS_MAX = 4;

/** Series divided by some of their labels: the group of each series, and each group's labels. */
export interface SeriesGroups {
  readonly groupOf: Uint32Array;
  readonly labels: readonly Labels[];
}

interface Selection {
  readonly series: Uint32Array;
  /** The version of the tenant's series. */
  readonly version: number;
  readonly groupings: Map<string, SeriesGroups>;
}

/** Selections of all tenants, least recently used first. The arrays in it are shared: nobody writes to them. */
export class SelectionCache {
  private readonly selections = new Map<string, Selection>();
  /** The same entries by their array, for whoever has only that. */
  private readonly bySeries = new WeakMap<Uint32Array, Selection>();
  private held = 0;

  get sizeBytes(): number {
    return this.held * 4;
  }

  /** What the matchers select, when it is known for this version of the tenant's series. */
  find(key: string, version: number): Uint32Array | undefined {
    const known = this.selections.get(key);
    if (known === undefined) return undefined;
    this.selections.delete(key);
    if (known.version !== version) {
      this.held -= known.series.length;
      return undefined;
    }
    this.selections.set(key, known);
    return known.series;
  }

  /** Keeps a selection, unless it alone is more than the cache may hold. The key must be unknown. */
  keep(key: string, version: number, series: Uint32Array): void {
    if (series.length > SELECTION_SERIES_MAX) return;
    const selection = { series, version, groupings: new Map<string, SeriesGroups>() };
    this.selections.set(key, selection);
    this.bySeries.set(series, selection);
    this.held += series.length;
    for (const [oldest, { series: dropped }] of this.selections) {
      if (this.held <= SELECTION_SERIES_MAX && this.selections.size <= SELECTIONS_MAX) break;
      this.selections.delete(oldest);
      this.held -= dropped.length;
    }
  }

  /** The grouping of a selection by `key`: a kept one, or what `group` makes; that is kept when the selection is. */
  grouping(series: Uint32Array, key: string, group: () => SeriesGroups): SeriesGroups {
    const groupings = this.bySeries.get(series)?.groupings;
    const known = groupings?.get(key);
    if (known !== undefined) return known;
    const made = group();
    if (groupings !== undefined) {
      if (groupings.size === GROUPINGS_MAX) groupings.delete(groupings.keys().next().value!);
      groupings.set(key, made);
    }
    return made;
  }
}

/** A text that is equal for equal selectors of one tenant only. */
export function selectionKey(tenant: string, matchers: readonly Matcher[]): string {
  const parts = [tenant];
  for (const { type, name, value } of matchers) parts.push(type, name, value);
  return JSON.stringify(parts);
}
