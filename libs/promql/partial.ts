// libs/promql/partial.ts: aggregates series into groups step by step: sum, count, min, max, avg, group.
// HOT: bench test/bench/partial.bench.ts, twin test/unit/promql/partial-twin.test.ts. Storages feed it one series after the
// other and return its partials; the engine feeds it columns. Sums are compensated (Neumaier), as in Prometheus: what rounding took
// travels with them, so that sums which cancel out across storages keep it.
import {
  type HistogramColumn,
  type Labels,
  type LeafAggregation,
  labelValue,
  METRIC_NAME,
  type StepColumn,
} from "../model/index.ts";
import { floatPresence } from "./float-presence.ts";
import { LeafNotes } from "./leaf-notes.ts";
import { HistogramGroup, mixedPartial } from "./partial-histogram.ts";
import { Slab } from "./slab.ts";

const SEPARATOR = "\uD800";

/** Tells which group a label set belongs to, and what that group's labels are. Numbers groups from 0. */
export class Grouping {
  readonly groups: Labels[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #without: boolean;
  readonly #names: readonly string[];
  readonly #dropped: ReadonlySet<string>;

  constructor(without: boolean, labels: readonly string[]) {
    this.#without = without;
    this.#names = [...new Set(labels)];
    this.#dropped = new Set([...labels, METRIC_NAME]);
  }

  /** The number of the group; a new one for labels not seen before. */
  groupOf(labels: Labels): number {
    const key = this.#without ? this.#keyWithout(labels) : this.#keyBy(labels);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.groups.length;
    this.#numbers.set(key, number);
    this.groups.push(this.#labelsOf(labels));
    return number;
  }

  #keyBy(labels: Labels): string {
    let key = "";
    for (const name of this.#names) key += labelValue(labels, name) + SEPARATOR;
    return key;
  }

  #keyWithout(labels: Labels): string {
    let key = "";
    for (let i = 0; i < labels.length; i += 2) {
      if (!this.#dropped.has(labels[i]!)) key += labels[i]! + SEPARATOR + labels[i + 1]! + SEPARATOR;
    }
    return key;
  }

  #labelsOf(labels: Labels): Labels {
    const out: string[] = [];
    for (let i = 0; i < labels.length; i += 2) {
      const name = labels[i]!;
      const kept = this.#without ? !this.#dropped.has(name) : this.#names.includes(name);
      if (kept) out.push(name, labels[i + 1]!);
    }
    return out;
  }
}

/** What a group has gathered. */
interface Group {
  readonly labels: Labels;
  /** The running sum, minimum or maximum of each step. */
  readonly values: Float64Array;
  /** For sums: what rounding has lost so far; else empty. */
  readonly lost: Float64Array;
  /** How many of the series had a value at every step. Most have, and then one number says it for all steps. */
  full: number;
  /** How many of the other series had a value, per step; undefined as long as there was none. */
  seen: Float64Array | undefined;
  /** What it has gathered of histograms; undefined as long as there was none. */
  histograms: HistogramGroup | undefined;
}

/**
 * Accumulates columns per group. Usage: group = groupOf(labels), add(group, values, present) for every series, then
 * columns() once. The same instance serves one aggregation over one grid.
 */
export class PartialAggregator {
  readonly #op: LeafAggregation["op"];
  readonly #count: number;
  readonly #grouping: Grouping;
  readonly #groups: Group[] = [];
  readonly #slab: Slab;
  /** What was remarkable about histograms. */
  readonly notes = new LeafNotes();

  /**
   * @param count the number of steps of the grid
   * @param groups how many there will be, as far as is known
   */
  constructor(aggregation: LeafAggregation, count: number, groups = 1) {
    this.#op = aggregation.op;
    this.#count = count;
    this.#grouping = new Grouping(aggregation.without, aggregation.labels);
    const { op } = aggregation;
    this.#slab = new Slab(count, op === "sum" || op === "avg" ? 2 * groups : groups);
  }

  /** The group of a series, by number. */
  groupOf(labels: Labels): number {
    const group = this.#grouping.groupOf(labels);
    if (group === this.#groups.length) this.addGroup(this.#grouping.groups[group]!);
    return group;
  }

  /** Makes the next group, for callers that know the groups and their labels already; they never call groupOf. */
  addGroup(labels: Labels): number {
    const none = new Float64Array(0);
    const counts = this.#op === "count" || this.#op === "group";
    const sums = this.#op === "sum" || this.#op === "avg";
    return (
      this.#groups.push({
        labels,
        values: counts ? none : this.#slab.next(),
        lost: sums ? this.#slab.next() : none,
        full: 0,
        seen: undefined,
        histograms: undefined,
      }) - 1
    );
  }

  /** Adds one series to a group. `present` null: every step has a value. */
  add(group: number, values: Float64Array, present: Uint8Array | null): void {
    const into = this.#groups[group]!;
    switch (this.#op) {
      case "sum":
      case "avg":
        if (present === null) addSum(into.values, into.lost, values, this.#count);
        else addSparseSum(into.values, into.lost, values, present, this.#count);
        break;
      case "min":
      case "max":
        this.#addExtreme(into, values, present);
        break;
    }
    this.#see(into, present, 1);
  }

  /** Adds a series that has histograms at some steps. `metric` is its name, for notes. */
  addMixed(
    group: number,
    values: Float64Array,
    present: Uint8Array | null,
    histograms: HistogramColumn,
    metric: string,
  ): void {
    const floats = floatPresence(present, histograms);
    if (this.#op === "min" || this.#op === "max") this.notes.add("ignored_in_aggregation", "", true);
    else {
      const into = this.#groups[group]!;
      into.histograms ??= new HistogramGroup(this.#op, this.#count);
      const hasFloat = (s: number) => into.full > 0 || (into.seen !== undefined && into.seen[s]! > 0);
      into.histograms.add(histograms, present, hasFloat, metric, this.notes);
    }
    if (floats.includes(1)) this.add(group, values, floats);
  }

  /** For count and group: adds `series` series that have a value at the same steps. */
  addPresence(group: number, present: Uint8Array | null, series: number): void {
    this.#see(this.#groups[group]!, present, series);
  }

  #see(group: Group, present: Uint8Array | null, series: number): void {
    if (present === null) {
      group.full += series;
      return;
    }
    group.seen ??= new Float64Array(this.#count);
    const { seen } = group;
    for (let s = 0; s < present.length; s++) seen[s] = seen[s]! + series * present[s]!;
  }

  #addExtreme(group: Group, values: Float64Array, present: Uint8Array | null): void {
    const max = this.#op === "max";
    if (group.full === 0) addFirstExtreme(group.values, group.seen, values, present, max);
    else if (present === null) addExtreme(group.values, values, this.#count, max);
    else addSparseExtreme(group.values, values, present, this.#count, max);
  }

  /** The partial of every group that has a value: sums (avg with weights), extremes, counts, or ones for group. */
  columns(): StepColumn[] {
    const out: StepColumn[] = [];
    const slab = new Slab(this.#count, this.#groups.length);
    for (const group of this.#groups) {
      if (group.histograms !== undefined) {
        const mixed = this.#mixedColumn(group, group.histograms);
        if (mixed !== undefined) out.push(mixed);
        continue;
      }
      const present = group.full > 0 ? null : presenceOf(group.seen);
      if (present === undefined) continue;
      const { labels } = group;
      const lost = lossOf(group.values, group.lost);
      const column = { labels, values: this.#finished(group, present, slab), present, ...(lost && { lost }) };
      out.push(this.#op === "avg" ? { ...column, weights: weightsOf(group, slab.next()) } : column);
    }
    return out;
  }

  #mixedColumn(group: Group, histograms: HistogramGroup): StepColumn | undefined {
    const floats = weightsOf(group, new Float64Array(this.#count));
    const { labels } = group;
    if (this.#op === "sum" || this.#op === "avg") {
      const lost = lossOf(group.values, group.lost);
      const column = { labels, values: group.values, present: null, ...(lost && { lost }) };
      return mixedPartial(column, floats, histograms, this.#op);
    }
    const counts = floats.map((n, s) => n + histograms.seen[s]!);
    const present = presenceOf(counts);
    if (present === undefined) return undefined;
    return { labels, values: this.#op === "count" ? counts : counts.map((n) => Math.min(n, 1)), present };
  }

  /** Whether a sum of histograms overflowed, at any step of any group. */
  get overflowed(): boolean {
    for (const { histograms } of this.#groups) {
      for (let s = 0; histograms !== undefined && s < this.#count; s++) if (histograms.isInfinite(s)) return true;
    }
    return false;
  }

  #finished(group: Group, present: Uint8Array | null, slab: Slab): Float64Array {
    if (this.#op === "count") return weightsOf(group, slab.next());
    if (this.#op !== "group") return group.values;
    const ones = slab.next();
    if (present === null) ones.fill(1);
    else ones.set(present);
    return ones;
  }
}

/** Where any series had a value: null for everywhere, undefined for nowhere. */
function presenceOf(seen: Float64Array | undefined): Uint8Array | null | undefined {
  if (seen === undefined) return undefined;
  const present = new Uint8Array(seen.length);
  let points = 0;
  for (let s = 0; s < seen.length; s++) {
    if (seen[s] === 0) continue;
    present[s] = 1;
    points++;
  }
  if (points === 0) return undefined;
  return points === seen.length ? null : present;
}

/** How many series had a value, per step, into `weights`. */
function weightsOf({ full, seen }: Group, weights: Float64Array): Float64Array {
  if (seen === undefined) return weights.fill(full);
  for (let s = 0; s < weights.length; s++) weights[s] = full + seen[s]!;
  return weights;
}

function addSum(into: Float64Array, lost: Float64Array, values: Float64Array, count: number): void {
  for (let s = 0; s < count; s++) {
    const value = values[s]!;
    const sum = into[s]!;
    const next = sum + value;
    into[s] = next;
    if (Math.abs(sum) >= Math.abs(value)) lost[s] = lost[s]! + (sum - next + value);
    else lost[s] = lost[s]! + (value - next + sum);
  }
}

function addSparseSum(
  into: Float64Array,
  lost: Float64Array,
  values: Float64Array,
  present: Uint8Array,
  count: number,
): void {
  for (let s = 0; s < count; s++) {
    if (present[s] === 0) continue;
    const value = values[s]!;
    const sum = into[s]!;
    const next = sum + value;
    into[s] = next;
    if (Math.abs(sum) >= Math.abs(value)) lost[s] = lost[s]! + (sum - next + value);
    else lost[s] = lost[s]! + (value - next + sum);
  }
}

/** What rounding has taken from finite sums, undefined when that is nothing; for infinite and NaN sums it means nothing. */
export function lossOf(sums: Float64Array, lost: Float64Array): Float64Array | undefined {
  let some = false;
  for (let s = 0; s < lost.length; s++) {
    const sum = sums[s]!;
    if (sum - sum !== 0) lost[s] = 0;
    else if (lost[s] !== 0) some = true;
  }
  return some ? lost : undefined;
}

/** While some steps may not have had a value yet: the first one stands, whatever it is. */
function addFirstExtreme(
  into: Float64Array,
  seen: Float64Array | undefined,
  values: Float64Array,
  present: Uint8Array | null,
  max: boolean,
): void {
  for (let s = 0; s < into.length; s++) {
    if (present !== null && present[s] === 0) continue;
    const value = values[s]!;
    const best = into[s]!;
    const first = seen === undefined || seen[s] === 0;
    if (first || (max ? value > best : value < best) || Number.isNaN(best)) into[s] = value;
  }
}

function addExtreme(into: Float64Array, values: Float64Array, count: number, max: boolean): void {
  for (let s = 0; s < count; s++) {
    const value = values[s]!;
    const best = into[s]!;
    if ((max ? value > best : value < best) || Number.isNaN(best)) into[s] = value;
  }
}

function addSparseExtreme(
  into: Float64Array,
  values: Float64Array,
  present: Uint8Array,
  count: number,
  max: boolean,
): void {
  for (let s = 0; s < count; s++) {
    if (present[s] === 0) continue;
    const value = values[s]!;
    const best = into[s]!;
    if ((max ? value > best : value < best) || Number.isNaN(best)) into[s] = value;
  }
}
