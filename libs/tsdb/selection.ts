// libs/tsdb/selection.ts: the series that a query's matchers select, numbered for this query: those of the catalogue, then those that only blocks have.
// Immutable once made. A series is the same in two blocks and in the catalogue when its labels are.
import { divide, type KnownNumbers, type SeriesGroups, type SeriesIndex, type SeriesTable } from "../index/index.ts";
import { type Labels, labelsKey } from "../model/index.ts";
import type { StoredBlock } from "./stored-block.ts";

/** In `numbers`: a series that no head has. */
export const NO_SERIES = 0xffffffff;
/** Groupings kept per selection; more than a dashboard's panels use on one selector. */
const GROUPINGS_MAX = 4;

/** A table with so many times the series that are selected is not gone through. */
const SPARSE_FACTOR = 16;

/** What a block has of a selection. */
export interface BlockPart {
  readonly block: StoredBlock;
  /** Of the series in the selection, each once. */
  readonly indexes: Uint32Array;
  /** Their places in the block, ascending. */
  readonly places: Uint32Array;
}

export interface Selection {
  /** Series are told by their index, below this. */
  readonly count: number;
  /** By index: the series' number in the catalogue, or NO_SERIES. Those with numbers come first, by ascending numbers. */
  readonly numbers: Uint32Array;
  /** In the order of the blocks' times. */
  readonly blocks: readonly BlockPart[];
  labelsOf(index: number): Labels;
  /** Divides all series by some of their labels, as SeriesIndex.groupKeys. */
  groupKeys(names: readonly string[], without: boolean): SeriesGroups;
  /** Adds the label names of the series at these indexes, or their values of one label. */
  addNames(indexes: Uint32Array, to: Set<string>): void;
  addValues(name: string, indexes: Uint32Array, to: Set<string>): void;
}

/** Series of the catalogue alone. */
export class LiveSelection implements Selection {
  readonly numbers: Uint32Array;
  readonly blocks: readonly BlockPart[] = [];
  private readonly index: SeriesIndex;

  constructor(index: SeriesIndex, numbers: Uint32Array) {
    this.index = index;
    this.numbers = numbers;
  }

  get count(): number {
    return this.numbers.length;
  }

  labelsOf(index: number): Labels {
    return this.index.labelsOf(this.numbers[index]!);
  }

  groupKeys(names: readonly string[], without: boolean): SeriesGroups {
    return this.index.groupKeys(this.numbers, names, without);
  }

  addNames(indexes: Uint32Array, to: Set<string>): void {
    this.index.addNames(
      indexes.map((i) => this.numbers[i]!),
      to,
    );
  }

  addValues(name: string, indexes: Uint32Array, to: Set<string>): void {
    this.index.addValues(
      name,
      indexes.map((i) => this.numbers[i]!),
      to,
    );
  }
}

/** Some series of a selection, in its order. */
export class PartialSelection implements Selection {
  readonly numbers: Uint32Array;
  readonly blocks: readonly BlockPart[];
  private readonly whole: Selection;
  /** By index: the index in the whole. */
  private readonly indexes: Uint32Array;

  /** `indexes`: ascending. */
  constructor(whole: Selection, indexes: Uint32Array) {
    this.whole = whole;
    this.indexes = indexes;
    this.numbers = indexes.map((index) => whole.numbers[index]!);
    const own = new Uint32Array(whole.count).fill(NO_SERIES);
    for (let i = 0; i < indexes.length; i++) own[indexes[i]!] = i;
    this.blocks = whole.blocks.flatMap(({ block, indexes: all, places }) => {
      const isOwn = (_: number, k: number): boolean => own[all[k]!] !== NO_SERIES;
      const kept = all.filter(isOwn).map((index) => own[index]!);
      return kept.length === 0 ? [] : [{ block, indexes: kept, places: places.filter(isOwn) }];
    });
  }

  get count(): number {
    return this.indexes.length;
  }

  labelsOf(index: number): Labels {
    return this.whole.labelsOf(this.indexes[index]!);
  }

  groupKeys(names: readonly string[], without: boolean): SeriesGroups {
    const all = this.whole.groupKeys(names, without);
    // Groups that none of these series is in don't show.
    const numbers = new Map<number, number>();
    const groupOf = this.indexes.map((index) => {
      const group = all.groupOf[index]!;
      const known = numbers.get(group) ?? numbers.size;
      numbers.set(group, known);
      return known;
    });
    return { groupOf, labels: Array.from(numbers.keys(), (group) => all.labels[group]!) };
  }

  addNames(indexes: Uint32Array, to: Set<string>): void {
    this.whole.addNames(
      indexes.map((i) => this.indexes[i]!),
      to,
    );
  }

  addValues(name: string, indexes: Uint32Array, to: Set<string>): void {
    this.whole.addValues(
      name,
      indexes.map((i) => this.indexes[i]!),
      to,
    );
  }
}

/** What a block has of the series in a table. */
export interface StoredPart {
  readonly block: StoredBlock;
  /** As long as `places`: the series in the table. */
  readonly series: Uint32Array;
  readonly places: Uint32Array;
}

/** What blocks have of the series that matchers select. */
export interface StoredSeries {
  /** Each series once; perhaps others that the parts don't have. */
  readonly table: SeriesTable;
  /** Where others keep the table, too: what is known of the catalogue's series in it. */
  readonly shared?: KnownNumbers;
  readonly parts: readonly StoredPart[];
}

/** A map from numbers below a bound, most of which it may have. */
class Dense {
  private readonly found: Uint32Array;

  constructor(size: number) {
    this.found = new Uint32Array(size).fill(NO_SERIES);
  }

  get(number: number): number | undefined {
    const found = this.found[number]!;
    return found === NO_SERIES ? undefined : found;
  }

  set(number: number, value: number): void {
    this.found[number] = value;
  }
}

/** Series of the catalogue and of blocks. */
export class JoinedSelection implements Selection {
  readonly numbers: Uint32Array;
  readonly blocks: readonly BlockPart[];
  private readonly index: SeriesIndex;
  private readonly table: SeriesTable;
  private readonly live: Uint32Array;
  /** Series of the table that are not live: their indexes follow those that are. */
  private readonly others: Uint32Array;
  private readonly groupings = new Map<string, SeriesGroups>();

  constructor(index: SeriesIndex, live: Uint32Array, { table, parts, shared }: StoredSeries) {
    this.index = index;
    this.table = table;
    this.live = live;
    const most = parts.reduce((sum, { series }) => sum + series.length, 0);
    // Many queries share a table that has far more than they select.
    const indexOf = most + live.length < table.size / SPARSE_FACTOR ? new Map<number, number>() : new Dense(table.size);
    index.findIn(table, live, indexOf, shared);
    const others = new Uint32Array(Math.min(table.size, most));
    let count = 0;
    this.blocks = parts.map(({ block, series, places }) => {
      const indexes = new Uint32Array(series.length);
      for (let k = 0; k < series.length; k++) {
        const one = series[k]!;
        let found = indexOf.get(one);
        if (found === undefined) {
          found = live.length + count;
          indexOf.set(one, found);
          others[count++] = one;
        }
        indexes[k] = found;
      }
      return { block, indexes, places };
    });
    this.others = others.slice(0, count);
    this.numbers = new Uint32Array(live.length + count).fill(NO_SERIES);
    this.numbers.set(live);
  }

  get count(): number {
    return this.numbers.length;
  }

  get sizeBytes(): number {
    const columns = this.blocks.reduce((sum, { indexes, places }) => sum + indexes.byteLength + places.byteLength, 0);
    let groups = 0;
    for (const { groupOf } of this.groupings.values()) groups += groupOf.byteLength;
    return this.numbers.byteLength + this.others.byteLength + columns + groups;
  }

  labelsOf(index: number): Labels {
    const { live, others } = this;
    return index < live.length ? this.index.labelsOf(live[index]!) : this.table.labelsOf(others[index - live.length]!);
  }

  groupKeys(names: readonly string[], without: boolean): SeriesGroups {
    const key = JSON.stringify([without, ...names]);
    let groups = this.groupings.get(key);
    if (groups === undefined) {
      groups = this.divide(names, without);
      if (this.groupings.size === GROUPINGS_MAX) this.groupings.delete(this.groupings.keys().next().value!);
      this.groupings.set(key, groups);
    }
    return groups;
  }

  private divide(names: readonly string[], without: boolean): SeriesGroups {
    const { live, others } = this;
    const ofLive = this.index.groupKeys(live, names, without);
    if (others.length === 0) return ofLive;
    const ofOthers = divide(others, this.table, names, without);
    if (live.length === 0) return ofOthers;
    const labels = [...ofLive.labels];
    const known = new Map(labels.map((one, group) => [labelsKey(one), group]));
    const numbers = ofOthers.labels.map((one) => {
      const group = known.get(labelsKey(one));
      return group ?? labels.push(one) - 1;
    });
    const groupOf = new Uint32Array(live.length + others.length);
    groupOf.set(ofLive.groupOf);
    ofOthers.groupOf.forEach((group, i) => {
      groupOf[live.length + i] = numbers[group]!;
    });
    return { groupOf, labels };
  }

  addNames(indexes: Uint32Array, to: Set<string>): void {
    const { live, others } = this.split(indexes);
    this.index.addNames(live, to);
    this.table.addNames(others, to);
  }

  addValues(name: string, indexes: Uint32Array, to: Set<string>): void {
    const { live, others } = this.split(indexes);
    this.index.addValues(name, live, to);
    this.table.addValues(name, others, to);
  }

  private split(indexes: Uint32Array): { live: Uint32Array; others: Uint32Array } {
    const count = this.live.length;
    return {
      live: indexes.filter((i) => i < count).map((i) => this.live[i]!),
      others: indexes.filter((i) => i >= count).map((i) => this.others[i - count]!),
    };
  }
}
