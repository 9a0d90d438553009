// libs/index/table-postings.ts: which series of a table carry a label pair: the postings of all pairs in one array, made once for what the table
// has then. What a query selects is found among the series of its rarest matcher, by their own pairs.
import type { CompiledMatcher } from "../model/index.ts";
import type { SeriesTable } from "./series-table.ts";
import { VALUES_PER_STEP } from "./verdicts.ts";

/** Pairs of series between two steps. */
const STRIDE = 1 << 16;

export class TablePostings {
  /** Series that it knows: 0 … size − 1 of the table. */
  readonly size: number;
  private readonly table: SeriesTable;
  /** By pair: where its series begin; one more at the end. */
  private readonly starts: Uint32Array;
  /** Those of each pair, ascending. */
  private readonly series: Uint32Array;

  private constructor(table: SeriesTable, size: number, starts: Uint32Array, series: Uint32Array) {
    this.table = table;
    this.size = size;
    this.starts = starts;
    this.series = series;
  }

  /** The postings of what the table has now, in steps. Series that are added meanwhile are not in it. */
  static *of(table: SeriesTable): Generator<void, TablePostings, void> {
    const { size, pairCount } = table;
    const starts = new Uint32Array(pairCount + 1);
    for (let at = 0, from = 0; at < size; at++) {
      // The table may have grown into other arrays at each step.
      const start = table.starts[at]!;
      const end = start + table.lengths[at]!;
      for (let k = start; k < end; k++) starts[table.arena[k]! + 1]!++;
      if (end - from < STRIDE) continue;
      from = end;
      yield;
    }
    for (let pair = 0; pair < pairCount; pair++) starts[pair + 1]! += starts[pair]!;
    const next = starts.slice();
    const series = new Uint32Array(starts[pairCount]!);
    for (let at = 0, from = 0; at < size; at++) {
      const start = table.starts[at]!;
      const end = start + table.lengths[at]!;
      for (let k = start; k < end; k++) series[next[table.arena[k]!]!++] = at;
      if (end - from < STRIDE) continue;
      from = end;
      yield;
    }
    return new TablePostings(table, size, starts, series);
  }

  get sizeBytes(): number {
    return this.starts.byteLength + this.series.byteLength;
  }

  /** The series that satisfy all matchers, each once, in any order; found in steps. */
  *select(matchers: readonly CompiledMatcher[]): Generator<void, Uint32Array> {
    const wanted: number[][] = [];
    for (const m of matchers) if (!m.matchesEmpty) wanted.push(yield* this.pairsOf(m, (value) => m.matches(value)));
    wanted.sort((a, b) => this.countOf(a) - this.countOf(b));
    const first = wanted.shift();
    let found = first === undefined ? Uint32Array.from({ length: this.size }, (_, i) => i) : this.seriesOf(first);
    for (const pairs of wanted) found = this.filter(found, pairs, true);
    for (const m of matchers) {
      if (!m.matchesEmpty) continue;
      const refused = yield* this.pairsOf(m, (value) => !m.matches(value));
      found = this.filter(found, refused, false);
    }
    return found;
  }

  /** The pairs of a matcher's label with values that `accepts` takes. Where these are a few by its form, they are looked up. */
  private *pairsOf(m: CompiledMatcher, accepts: (value: string) => boolean): Generator<void, number[]> {
    const known = this.table.pairsOf(m.name);
    const found: number[] = [];
    if (known === undefined) return found;
    const add = (pair: number | undefined): void => {
      if (pair !== undefined && pair < this.starts.length - 1) found.push(pair);
    };
    const isLookedUp = m.values !== undefined && (m.values.length === 0 || accepts(m.values[0]!));
    if (isLookedUp) for (const value of new Set(m.values)) add(known.get(value));
    else {
      let count = 0;
      for (const [value, pair] of known) {
        if (accepts(value)) add(pair);
        if (++count % VALUES_PER_STEP === 0) yield;
      }
    }
    return found;
  }

  private countOf(pairs: readonly number[]): number {
    let count = 0;
    for (const pair of pairs) count += this.starts[pair + 1]! - this.starts[pair]!;
    return count;
  }

  /** A series has one value of a label, so it is in one of these lists at most. */
  private seriesOf(pairs: readonly number[]): Uint32Array {
    const found = new Uint32Array(this.countOf(pairs));
    let count = 0;
    for (const pair of pairs) {
      const list = this.series.subarray(this.starts[pair]!, this.starts[pair + 1]!);
      found.set(list, count);
      count += list.length;
    }
    return found;
  }

  /** Of these series, those that carry one of the pairs, or (`isWanted` false) none of them. */
  private filter(series: Uint32Array, pairs: readonly number[], isWanted: boolean): Uint32Array {
    const { starts, lengths, arena } = this.table;
    const marked = new Uint8Array(this.table.pairCount);
    for (const pair of pairs) marked[pair] = 1;
    let count = 0;
    const found = new Uint32Array(series.length);
    for (let i = 0; i < series.length; i++) {
      const one = series[i]!;
      const end = starts[one]! + lengths[one]!;
      let at = starts[one]!;
      while (at < end && marked[arena[at]!] === 0) at++;
      if (at < end === isWanted) found[count++] = one;
    }
    return found.subarray(0, count);
  }
}
