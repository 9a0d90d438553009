// libs/promql/partial.ts: aggregates series into groups step by step: sum, count, min, max, avg, group.
// HOT: bench test/bench/partial.bench.ts, twin test/unit/promql/partial-twin.test.ts. Storages feed it one series after the
// other and return its partials; the engine feeds it columns. Sums are compensated (Neumaier), as in Prometheus.
import { type Labels, type LeafAggregation, labelValue, METRIC_NAME, type StepColumn } from "../model/index.ts";

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

/**
 * Accumulates columns per group. Usage: group = groupOf(labels), add(group, values, present) for every series, then
 * columns() once. The same instance serves one aggregation over one grid.
 */
export class PartialAggregator {
  readonly #op: LeafAggregation["op"];
  readonly #count: number;
  readonly #grouping: Grouping;
  /** Per group: the running sum, minimum, maximum or count of each step. */
  readonly #values: Float64Array[] = [];
  /** Per group, for sums: what rounding has lost so far. */
  readonly #lost: Float64Array[] = [];
  /** Per group: how many values each step has seen; for count, min, max and group only whether there was one. */
  readonly #seen: Float64Array[] = [];

  /** @param count the number of steps of the grid */
  constructor(aggregation: LeafAggregation, count: number) {
    this.#op = aggregation.op;
    this.#count = count;
    this.#grouping = new Grouping(aggregation.without, aggregation.labels);
  }

  /** The group of a series, by number. */
  groupOf(labels: Labels): number {
    const group = this.#grouping.groupOf(labels);
    if (group === this.#values.length) {
      this.#values.push(new Float64Array(this.#count));
      this.#seen.push(new Float64Array(this.#count));
      if (this.#op === "sum" || this.#op === "avg") this.#lost.push(new Float64Array(this.#count));
    }
    return group;
  }

  /** Adds one series to a group. `present` null: every step has a value. */
  add(group: number, values: Float64Array, present: Uint8Array | null): void {
    const into = this.#values[group]!;
    const seen = this.#seen[group]!;
    switch (this.#op) {
      case "sum":
      case "avg":
        addSum(into, this.#lost[group]!, seen, values, present, this.#count);
        return;
      case "min":
        addExtreme(into, seen, values, present, this.#count, false);
        return;
      case "max":
        addExtreme(into, seen, values, present, this.#count, true);
        return;
      default:
        addCount(seen, present, this.#count);
    }
  }

  /** The partial of every group that has a value: sums (avg with weights), extremes, counts, or ones for group. */
  columns(): StepColumn[] {
    const out: StepColumn[] = [];
    for (let g = 0; g < this.#values.length; g++) {
      const values = this.#values[g]!;
      const seen = this.#seen[g]!;
      const present = new Uint8Array(this.#count);
      let points = 0;
      for (let s = 0; s < present.length; s++) {
        if (seen[s] === 0) continue;
        present[s] = 1;
        points++;
        if (this.#op === "count") values[s] = seen[s]!;
        else if (this.#op === "group") values[s] = 1;
      }
      if (points === 0) continue;
      if (this.#lost.length > 0) settle(values, this.#lost[g]!);
      const column = {
        labels: this.#grouping.groups[g]!,
        values,
        present: points === this.#count ? null : present,
      };
      out.push(this.#op === "avg" ? { ...column, weights: seen } : column);
    }
    return out;
  }
}

function addSum(
  into: Float64Array,
  lost: Float64Array,
  seen: Float64Array,
  values: Float64Array,
  present: Uint8Array | null,
  count: number,
): void {
  for (let s = 0; s < count; s++) {
    if (present !== null && present[s] === 0) continue;
    const value = values[s]!;
    const sum = into[s]!;
    const next = sum + value;
    if (Math.abs(sum) >= Math.abs(value)) lost[s] = lost[s]! + (sum - next + value);
    else lost[s] = lost[s]! + (value - next + sum);
    into[s] = next;
    seen[s] = seen[s]! + 1;
  }
}

/** Adds to finite sums what rounding lost; for infinite and NaN sums it means nothing. */
function settle(values: Float64Array, lost: Float64Array): void {
  for (let s = 0; s < values.length; s++) {
    const sum = values[s]!;
    if (sum - sum === 0) values[s] = sum + lost[s]!;
  }
}

function addExtreme(
  into: Float64Array,
  seen: Float64Array,
  values: Float64Array,
  present: Uint8Array | null,
  count: number,
  max: boolean,
): void {
  for (let s = 0; s < count; s++) {
    if (present !== null && present[s] === 0) continue;
    const value = values[s]!;
    const best = into[s]!;
    if (seen[s] === 0) {
      into[s] = value;
      seen[s] = 1;
    } else if ((max ? value > best : value < best) || Number.isNaN(best)) {
      into[s] = value;
    }
  }
}

function addCount(seen: Float64Array, present: Uint8Array | null, count: number): void {
  if (present === null) for (let s = 0; s < count; s++) seen[s] = seen[s]! + 1;
  else for (let s = 0; s < count; s++) seen[s] = seen[s]! + present[s]!;
}
